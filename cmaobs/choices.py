# SPDX-License-Identifier: GPL-2.0
"""What a kernel that follows the rules does next, as functions of a policy and a state. Pure.

cmaobs.model holds what was seen against these; cmaobs.whatif acts by them.
"""

from __future__ import annotations

from collections.abc import Iterable

from cmaobs.runs import Run, bits, first_fit
from cmaobs.state import AreaFacts
from cmaobs.steps import Extent, Policy, State


def granules(facts: AreaFacts, pfn: int, count: int) -> int:
    """The bits that stand for count pages from pfn on, rounded up as the kernel does."""
    order = facts.order_per_bit
    return bits((pfn - facts.base_pfn) >> order, -(-count >> order))


def lowest(facts: AreaFacts, clear: int, count: int, align: int, start: int = 0) -> int | None:
    """R4: first granule of the lowest aligned run of clear bits from start on.

    align is an order of pages relative to pfn 0, as cma_bitmap_aligned_mask()
    and cma_bitmap_aligned_offset() have it. None also where count is 0.
    """
    order = facts.order_per_bit
    mask = (1 << (align - order)) - 1 if align > order else 0
    offset = (facts.base_pfn & ((1 << align) - 1)) >> order
    if not count:
        return None
    return first_fit(clear, facts.count >> order, -(-count >> order), mask, offset, start)


def next_start(facts: AreaFacts, pfn: int, align: int) -> int:
    """R7: the granule from which the search goes on after -EBUSY at pfn."""
    order = facts.order_per_bit
    step = 1 << (align - order) if align > order else 1
    return ((pfn - facts.base_pfn) >> order) + step


def place(policy: Policy, state: State, count: int, align: int, start: int = 0) -> int | None:
    """R4: the granule that is picked; under prefer_deferred the lowest one inside an extent."""
    facts, clear = state.facts, ~state.reserved
    if policy.prefer_deferred:
        found = preferred(facts, sorted((e.pfn, e.pages) for e in state.extents), clear, count,
                          align, start)
        if found is not None:
            return found
    return lowest(facts, clear, count, align, start)


def preferred(facts: AreaFacts, extents: Iterable[Run], clear: int, count: int, align: int,
              start: int = 0) -> int | None:
    """The first granule of the lowest run of clear bits inside one extent; extents ascending."""
    found = (lowest(facts, clear & _inside(facts, *extent), count, align, start)
             for extent in extents if extent[1] >= count)
    return next((at for at in found if at is not None), None)


def _inside(facts: AreaFacts, pfn: int, pages: int) -> int:
    """The granules all of whose pages are in the run."""
    order = facts.order_per_bit
    first = -(-(pfn - facts.base_pfn) >> order)  # rounded up
    end = (pfn + pages - facts.base_pfn) >> order
    return bits(first, end - first) if end > first else 0


def holds(extents: tuple[Extent, ...], pfn: int, count: int) -> bool:
    """R5: whether one extent contains the whole run."""
    return any(e.pfn <= pfn and pfn + count <= e.pfn + e.pages for e in extents)


def flushed(policy: Policy, state: State, run: Run | None) -> tuple[Run, ...]:
    """R6: the extents that leave the list after a miss on the run; None: batch became 0."""
    if policy.flush_overlap and run is not None:
        first, end = run[0], run[0] + run[1]
        return tuple((e.pfn, e.pages) for e in state.extents
                     if e.pfn < end and first < e.pfn + e.pages)
    return tuple((e.pfn, e.pages) for e in state.extents)


def defers(policy: Policy, state: State, count: int) -> bool:
    """R1, R2: whether a release goes on the list."""
    return bool(policy.deferral and state.batch and count
                and (policy.keep is None or state.defer_count + count <= policy.keep))


def scanned(policy: Policy, state: State, asked: int) -> tuple[Run, ...] | None:
    """R9: what a scan frees; None: it stops. The last extent is split at its front."""
    if asked < state.batch:
        return None
    taken: list[Run] = []
    for e in reversed(state.extents) if policy.oldest_first else state.extents:
        if not asked:
            break
        taken.append((e.pfn, min(asked, e.pages)))
        asked -= taken[-1][1]
    return tuple(taken)
