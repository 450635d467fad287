# SPDX-License-Identifier: GPL-2.0
"""How long an area went without being compared with a snapshot."""

from __future__ import annotations

from cmaobs.state import AreaState


class Pace:
    """rests, torn: comparisons at rest, and while operations were in flight.

    longest_ns: between two of them in which there were operations. longest_why: what kept the area
    from being compared meanwhile.
    """

    def __init__(self) -> None:
        self.rests = self.last_rest_ns = self.torn = 0
        self.longest_ns = 0
        self.longest_why = ""
        self._since: tuple[int, int] | None = None  # last comparison: ns, operations by then
        self._passed = ""

    def passed_over(self, why: str) -> None:
        """A snapshot could not be compared."""
        self._passed = why

    def compared(self, state: AreaState, ended: int) -> None:
        """With a snapshot; ended: operations so far."""
        if state.at_rest:
            self.rests += 1
            self.last_rest_ns = state.end_ns
        else:
            self.torn += 1
        before, self._since = self._since, (state.end_ns, ended)
        why, self._passed = self._passed, ""
        if before is not None and ended > before[1]:
            gone = state.end_ns - before[0]
            if gone > self.longest_ns:
                self.longest_ns, self.longest_why = gone, why or "no snapshot was taken"
