# SPDX-License-Identifier: GPL-2.0
"""A snapshot at rest against what the history says: equality, page by page.

Then everything is learned from the snapshot, so that a difference is told
once. Where the kernel's own counters show that operations were missed, the
difference means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cmaobs.crosscheck import blame
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE
from cmaobs.crosscheck.rules import Found, pages_of_bits
from cmaobs.runs import bits, union
from cmaobs.state import AreaState

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area


def compare(area: Area, state: AreaState) -> None:
    """Compare and learn; a snapshot that overlaps with an operation is passed over."""
    if not area.still or state.start_ns <= area.now or state.fault:
        return
    if state.start_ns <= area.blind_until:
        return
    if not _counters(area, state):
        area.lose("the kernel counted allocations that were not seen")
        learn(area, state)
        area.rested = False
        return
    area.compared = state
    area.settle(state)
    for rule, pages, expected, observed in bits_that_differ(
            area, area.pages.marks.set, area.pages.marks.clear, state):
        area.diverge(rule, pages, expected, observed, at_ns=state.end_ns)
    _list(area, state)
    _passed(area, state)
    area.compared = None
    learn(area, state)
    area.pace.compared(state, area.ended)


def _counters(area: Area, state: AreaState) -> bool:
    """Whether the operations seen account for the pages that the kernel counted.

    6.1 counts a request of more than the area has, 6.12 does not (its __cma_alloc returns early).
    """
    before, area.counted = area.counted, counted(area, state)
    if before is None or area.counted is None:
        return True
    succeeded, failed, granted, refused, oversize = (
        now - then for now, then in zip(area.counted, before, strict=True))
    return succeeded == granted and failed in (refused, refused - oversize)


def counted(area: Area, state: AreaState) -> tuple[int, int, int, int, int] | None:
    """Pages granted and refused by the kernel's counters, and as seen; None without counters."""
    if state.pages_succeeded is None or state.pages_failed is None:
        return None
    return (state.pages_succeeded, state.pages_failed, area.granted, area.refused, area.oversize)


def bits_that_differ(area: Area, must: int, must_not: int, state: AreaState,
                     torn: bool = False) -> Iterator[Found]:
    """R11, R2: each bit is set where a caller owns the page, and nowhere else.

    must, must_not: granules whose bit is certainly set, and certainly clear.
    """
    pages = area.pages
    held = bitmap(state)
    for wrong, expected, observed in ((must & ~held, "set", "clear"),
                                      (must_not & held, "clear", "set")):
        if not wrong:
            continue
        where = pages_of_bits(area.facts, wrong)
        parts = [(where & pages.may[status] & ~pages.unknown, rule, status == ALLOCATED)
                 for status, rule in ((ALLOCATED, "R4"), (DEFERRED, "R2"), (FREE, "R1"))]
        # a bit may be certain where the state of its pages is not: learn() tells why
        parts.append((where & pages.unknown, "R11", expected == "set"))
        for part, rule, owned in parts:
            if not part:
                continue
            blamed = blame.kept(area, part, rule) if observed == "set" else "R11"
            if owned or (torn and observed == "clear"):
                blamed = blame.cleared(area, part)
            yield (blamed, part, f"bits {expected}",
                   f"bits {observed} " + ("in a snapshot" if torn else "at rest"))


def _list(area: Area, state: AreaState) -> None:
    """R10, R11: the extents hold the deferred pages, each once, and defer_count their sum."""
    if state.extents is None:
        return
    pages, base = area.pages, area.facts.base_pfn
    total = sum(count for _, count in state.extents)
    on_list = union(state.extents, base)
    twice = total - on_list.bit_count()
    empty = 0 if area.empty_released else sum(not count for _, count in state.extents)
    if twice and twice != area.twice:
        area.diverge("R11", on_list, "each page in one extent at most", f"{twice} pages in two",
                     at_ns=state.end_ns)
    if empty and empty != area.empty:
        area.diverge("R5", 0, "no empty extent", f"{empty} empty extents", at_ns=state.end_ns)
    area.twice, area.empty = twice, empty  # they are there again the next time
    if lost := pages.deferred & ~on_list:
        area.diverge("R11", lost, "deferred pages on the list", "pages in no state: leaked",
                     at_ns=state.end_ns)
    if extra := on_list & ~pages.may[DEFERRED] & ~pages.taint:
        area.diverge("R11", extra, "pages that are not deferred", "pages on the list",
                     at_ns=state.end_ns)
    drift = (state.defer_count or 0) - on_list.bit_count()
    if state.defer_count is not None and not twice and drift != (area.drift or 0):
        area.diverge("R10", 0, f"defer_count {total}, the sum of the extents",
                     f"{state.defer_count}", at_ns=state.end_ns)
    left_over = not state.batch and state.batch is not None and bool(on_list)
    if (left_over and not area.left_over and area.known and area.batch.probed
            and area.policy.flush_at_zero):
        area.diverge("R1", on_list, "nothing deferred while batch is 0",
                     f"{on_list.bit_count()} pages on the list", at_ns=state.end_ns)
    area.left_over = left_over
    if not pages.taint & on_list:
        _borders(area, state)


def _passed(area: Area, state: AreaState) -> None:
    """R9: the core's scans come in the size of batch."""
    wrong = None
    if None not in (state.shrinker_batch, state.batch) and area.batch.probed:
        wrong = state.shrinker_batch if state.shrinker_batch != state.batch else None
    if wrong is not None and wrong != area.unpassed:
        area.diverge("R9", 0, f"shrinker.batch {state.batch}, as batch", f"{wrong}",
                     at_ns=state.end_ns)
    area.unpassed = wrong  # it is there again the next time


def _borders(area: Area, state: AreaState) -> None:
    """R2, R5: where extents end, and newest first."""
    base = area.facts.base_pfn
    assert state.extents is not None
    oldest = None
    merge = area.policy.merge
    for pfn, count in state.extents:
        found = area.pages.extents.within(pfn - base, count)
        unknown = bits(pfn - base, count) & area.pages.unknown
        if unknown or not found or any(piece.origin is None for piece in found):
            continue
        whole = len(found) == 1 and found[0][:2] == (pfn - base, count)
        if not merge and not whole:
            area.diverge("R5", bits(pfn - base, count),
                         f"extents {', '.join(f'{base + p.first:#x}+{p.pages}' for p in found)}",
                         f"{pfn:#x}+{count}", at_ns=state.end_ns)
            return
        if not merge and oldest is not None and found[0].since > oldest:
            area.diverge("R2", bits(pfn - base, count), "newer extents nearer to the head",
                         "an older one before it", at_ns=state.end_ns)
            return
        oldest = found[0].until if oldest is None else min(oldest, found[0].until)


def bitmap(state: AreaState) -> int:
    """Granules whose bit is set."""
    order, base = state.facts.order_per_bit, state.facts.base_pfn
    held = 0
    for pfn, count in state.allocated:
        held |= bits((pfn - base) >> order, -(-count >> order))
    return held


def learn(area: Area, state: AreaState) -> None:
    """Know what the snapshot says, and no more.

    Where a bit stands for several pages, the snapshot does not tell whether a
    page that is not listed belongs to a caller: what was known of it stays.
    """
    pages, facts = area.pages, area.facts
    held = bitmap(state)
    every = bits(0, facts.count >> facts.order_per_bit)
    on_list = union(state.extents or (), facts.base_pfn) & pages.full
    owned = union(((pfn - facts.base_pfn, count) for pfn, count in state.allocated)) & pages.full
    unlisted = pages.full & ~on_list
    known = pages.full & ~pages.unknown & ~pages.may[DEFERRED] if facts.order_per_bit else 0
    fresh = unlisted & ~known
    pages.taint = 0
    keep = [pages.may[ALLOCATED] & known & unlisted, 0, pages.may[FREE] & known & unlisted]
    pages.may = [keep[0] | fresh & owned, on_list, keep[2] | fresh & ~owned]
    pages.unknown = 0
    if facts.order_per_bit:
        pages.may[ALLOCATED] |= fresh
        pages.may[FREE] |= fresh
        pages.unknown = fresh
    pages.marks.set, pages.marks.clear = held, every & ~held
    pages.extents.load(state.extents or (), facts.base_pfn, state.start_ns)
    area.drift = 0
    if state.extents is not None and state.defer_count is not None:
        area.drift = state.defer_count - on_list.bit_count()
    area.counts_defer = state.defer_count is not None
    area.batch.value = state.batch if area.batch.probed else None
    area.force.learn(state)
    area.counted = counted(area, state) or area.counted
    area.empty_released = not all(count for _, count in state.extents or ())
    area.known = True
    area.episode += 1
    area.rested = area.rested or area.ended > 0
    area.reason = ""

