# SPDX-License-Identifier: GPL-2.0
"""R4 and R6 where a policy has allocations go by extents: where they look, what they give back.

Each check is a necessary condition, as in cmaobs/crosscheck/rules.py. What is relied on of an
extent are its pages that nobody touched during the frame, as far as they lie together: whatever
was split off meanwhile, these stayed in one extent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cmaobs.choices import preferred
from cmaobs.crosscheck.plan import pages_of
from cmaobs.runs import Run, bits, runs, union

if TYPE_CHECKING:
    from cmaobs.crosscheck.rules import Found, View


def may_hold(view: View, pfn: int) -> bool:
    """Whether one extent may have held the run from pfn on when it was picked."""
    frame = view.frame
    run = pages_of(view.facts, pfn, view.record.count)
    if frame.one is False and not run & ~view.must:
        return False  # several did
    return not run & ~(frame.maybe | view.touched)


def held(view: View, clear: int) -> int | None:
    """The lowest run that one extent held throughout, as its first granule.

    None also behind a try that failed: what was preferred then may have been lost, and it is first
    fit from there on.
    """
    if view.frame.before:
        return None
    record = view.record
    return preferred(view.facts, _untouched(view), clear, record.count, record.align,
                     view.frame.start)


def missed(view: View, run: int, freed: int) -> Iterator[Found]:
    """R6: what overlaps the run goes to the buddy, and nothing else. run, freed: pages."""
    facts = view.facts
    want = view.must & run
    for first, pages in _untouched(view):
        part = bits(first - facts.base_pfn, pages)
        want |= part if part & run else 0
    if left := want & ~freed:
        yield ("R6", left, f"all {want.bit_count()} deferred pages freed that lie in an extent "
               "with the run", f"{left.bit_count()} left out")
    apart = [(call.pfn, call.count) for call in view.frame.frees
             if call.count and not pages_of(facts, call.pfn, call.count) & run]
    if apart:
        yield ("R6", union(apart, facts.base_pfn), "only extents that overlap the run freed",
               f"{len(apart)} others freed")


def _untouched(view: View) -> Iterator[Run]:
    """Pages, ascending, that were in one extent throughout; each run is of one."""
    for piece in view.frame.pieces:
        if piece.origin is not None:
            yield from runs(bits(piece.first, piece.pages) & view.must, view.facts.base_pfn)
