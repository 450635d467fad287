# SPDX-License-Identifier: GPL-2.0
"""When to read the areas again sooner than usual: behind a loss, until each was at rest. Pure.

The cross-check knows nothing of an area from a loss to its next snapshot at rest, which under load
is one of several.
"""

from __future__ import annotations

from collections.abc import Mapping

from cmaobs.state import Reading

_FOR_NS = 2_000_000_000  # then the load is such that more readings would only add to it
_APART_NS = 10_000_000_000  # what loses all the time is not read more often for it


class Again:
    """Is told of each reading."""

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}
        self._left: set[int] = set()  # areas that were not at rest since, by index
        self._since_ns: int | None = None

    def wanted(self, reading: Reading) -> bool:
        """Whether the next reading is wanted at once."""
        now, counts = reading.time_ns, reading.losses.counts
        lost = any(count > self._counts.get(kind, 0) for kind, count in counts.items())
        self._counts = counts
        # what was lost may have been behind the snapshots that came with the news of it
        fresh = self._since_ns is None or now >= self._since_ns + _APART_NS
        if lost and (fresh or self._left):
            if fresh:
                self._since_ns = now
            self._left = {state.facts.index for state in reading.states}
        else:
            self._left -= {state.facts.index for state in reading.states
                           if state.at_rest and not state.fault}
        if self._since_ns is None or now >= self._since_ns + _FOR_NS:
            self._left.clear()
        return bool(self._left)
