# SPDX-License-Identifier: GPL-2.0
"""Where the pages of an area are, and how fragmented what is left. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cmaobs.state import AreaState, Run
from cmaobs.view import clear_runs


def places(state: AreaState) -> Mapping[str, tuple[Run, ...]]:
    """Every page of the area, as runs of pages by where they are.

    allocated: its bit is set. deferred: on the deferred list; absent where the kernel has none.
    Others are clear; where it was looked up, buddy (free in the buddy), lent (in use by movable
    users) and elsewhere (neither: on a CPU's list of free pages, or on its way) in place of that.
    """
    clear, placed = clear_runs(state), state.placed
    found: dict[str, tuple[Run, ...]] = {"allocated": state.allocated}
    if state.extents is not None:
        listed = sorted(state.extents)
        found["deferred"] = tuple(common(clear, listed))
        clear = list(minus(clear, listed))
    if placed is None or placed.fault:
        return found | {"clear": tuple(clear)}
    found["lent"] = tuple(common(clear, placed.lent))
    rest = list(minus(clear, placed.lent))
    return found | {"buddy": tuple(minus(rest, placed.elsewhere)),
                    "elsewhere": tuple(common(rest, placed.elsewhere))}


def minus(some: Iterable[Run], others: Iterable[Run]) -> Iterator[Run]:
    """What of some is in no other, as runs; both ascending, some disjoint."""
    taken = iter(others)
    other = next(taken, None)
    for first, length in some:
        at, end = first, first + length
        while other is not None and other[0] < end:
            if other[0] > at:
                yield at, other[0] - at
            at = max(at, sum(other))
            if at > end:
                break  # it may reach into the next of some
            other = next(taken, None)
        if at < end:
            yield at, end - at


def common(some: Sequence[Run], others: Sequence[Run]) -> Iterator[Run]:
    """What of some is in any other."""
    return minus(some, list(minus(some, others)))


def by_order(clear: Sequence[Run]) -> Mapping[int, int]:
    """How many runs have 2^order pages or more, and less than twice that, by order."""
    return dict(sorted(Counter(pages.bit_length() - 1 for _, pages in clear).items()))


def fragmentation(clear: Sequence[Run]) -> float | None:
    """The share of the clear pages that is not in the longest run; None where none is clear."""
    total = sum(pages for _, pages in clear)
    return 1 - max(pages for _, pages in clear) / total if total else None
