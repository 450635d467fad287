# SPDX-License-Identifier: GPL-2.0
"""What an operation looked at, against what may and must have been there.

Each check is a necessary condition: it fails only where no lawful order of
the operations explains the records. ``touched`` pages are those on which
another operation may have had an effect during the frame; on all others the
state was the same throughout, and known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cmaobs.crosscheck import by_extent
from cmaobs.crosscheck.frame import DEFERRED, Frame
from cmaobs.crosscheck.plan import inside, pages_of
from cmaobs.events import SHRINK_EMPTY, SILENT, Kind, Path, Record
from cmaobs.model import Policy, granules, lowest
from cmaobs.runs import bits, runs
from cmaobs.state import AreaFacts

Found = tuple[str, int, str, str]  # rule, pages, expected, observed


class View(NamedTuple):
    """A frame with the effects of others during it.

    touched: pages. moved: those of them that may have been on the list for a
    part of the frame only. marked: bits. must: on the list throughout but for the operation's
    own effect.
    """

    facts: AreaFacts
    policy: Policy
    frame: Frame
    touched: int
    moved: int
    marked: int
    must: int

    @classmethod
    def of(cls, facts: AreaFacts, policy: Policy, frame: Frame) -> View:
        """When the frame is over."""
        others = frame.others
        own = 0
        for step in frame.flight.steps:
            if DEFERRED in (step.frm, step.to):
                own |= step.pages
        return cls(facts, policy, frame, others.pages, others.moved | own & others.pages,
                   others.bits, frame.deferred & ~others.pages)

    @property
    def record(self) -> Record:
        """The operation's record."""
        return self.frame.flight.operation.record


def freed(facts: AreaFacts, frees: list[Record]) -> int:
    """Pages given to free_contig_range() by these calls."""
    pages = 0
    for call in frees:
        pages |= pages_of(facts, call.pfn, call.count)
    return pages


def listed(view: View, gone: int = 0, come: int = 0) -> tuple[int, int]:
    """Bounds of defer_count during the frame.

    gone, come: pages that the operation itself took off the list and put on it.
    """
    frame = view.frame
    low = (view.must & ~gone | come & ~view.touched).bit_count()
    if not view.touched and frame.maybe == frame.deferred:
        return low, low
    return low, ((frame.maybe & ~gone | come) & ~view.touched | view.moved).bit_count()


def search(view: View) -> Iterator[Found]:
    """R4 to R7: one search of an allocation, with what came of it."""
    frame, record, facts = view.frame, view.record, view.facts
    call = frame.call
    pfn = call.pfn if call else record.pfn if frame.hit else None
    clear = (frame.clear | frame.before) & ~view.marked
    if pfn is None:
        low = lowest(facts, clear, record.count, record.align, frame.start)
        if low is not None and "R4" not in view.policy.own:
            yield _placed(view, low, "none found", "R7" if frame.before else "R4")
        return
    if not inside(facts, pfn, record.count):
        yield "R4", 0, "a run inside the area", f"pfn {pfn:#x}+{record.count}"
        return
    order = facts.order_per_bit
    at = (pfn - facts.base_pfn) >> order
    if "R4" not in view.policy.own:
        yield from _lower(view, at, pfn, clear)
    marks = granules(facts, pfn, record.count)
    # a run that was lost to others does not move the start where an extent was preferred
    start = 0 if view.policy.prefer_deferred or "R4" in view.policy.own else frame.start
    if lowest(facts, marks, record.count, record.align, start) != at:
        yield ("R4", 0, f"a run aligned to order {record.align} from granule {start} on",
               f"pfn {pfn:#x}")
    if taken := marks & frame.set & ~view.marked & ~frame.before:
        yield ("R4", pages_of_bits(facts, taken), "a run of clear bits",
               f"pfn {pfn:#x} picked, of which {taken.bit_count()} bits were set")
    if call:
        yield from _miss(view, pages_of(facts, call.pfn, call.count))


def _lower(view: View, at: int, pfn: int, clear: int) -> Iterator[Found]:
    """R4, R7: a run that was there to be picked before the one from granule at on."""
    frame, record, facts = view.frame, view.record, view.facts
    if view.policy.prefer_deferred:
        may, held = by_extent.may_hold(view, pfn), by_extent.held(view, clear)
        if held is not None and held != at and (held < at or not may):
            yield _placed(view, held, f"pfn {pfn:#x} picked, not in an extent"
                          if not may else f"pfn {pfn:#x} picked", "R4")
            return
        if may:
            return
    if at <= frame.start:
        return
    below = clear & bits(0, at + (-(-record.count >> facts.order_per_bit)))
    low = lowest(facts, below, record.count, record.align, frame.start)
    if low is not None and low < at:
        # with the bits of the try before set, this would have been the lowest
        kept = lowest(facts, below & ~frame.before, record.count, record.align,
                      frame.start) in (None, at)
        yield _placed(view, low, f"pfn {pfn:#x} picked", "R7" if frame.before and kept else "R4")


def _placed(view: View, low: int, observed: str, rule: str) -> Found:
    facts, record = view.facts, view.record
    pfn = facts.base_pfn + (low << facts.order_per_bit)
    return rule, pages_of(facts, pfn, record.count), f"pfn {pfn:#x} picked", observed


def pages_of_bits(facts: AreaFacts, marks: int) -> int:
    """The pages that these granules of the bitmap stand for."""
    pages = 0
    for first, length in runs(marks):
        pages |= bits(first << facts.order_per_bit, length << facts.order_per_bit)
    return pages


def _miss(view: View, run: int) -> Iterator[Found]:
    frame = view.frame
    if frame.one and not run & ~view.must:
        yield "R5", run, "a hit: one extent holds the run", "alloc_contig_range() called"
    elif "R6" in view.policy.own:
        return
    elif view.policy.flush_overlap:
        yield from by_extent.missed(view, run, freed(view.facts, frame.frees))
    elif left := view.must & ~freed(view.facts, frame.frees):
        yield ("R6", left, f"all {view.must.bit_count()} deferred pages freed",
               f"{left.bit_count()} left out")


def at_entry(view: View, drift: int) -> Iterator[Found]:
    """R10: defer_count as read before the operation did anything."""
    yield from _between(listed(view), view.record.defer_entry - drift, "R10", "at entry")


def at_return(view: View, drift: int) -> Iterator[Found]:
    """R10: defer_count as read after all that the operation did.

    Where nothing else happened meanwhile, what is wrong is the operation's own. So it is where a
    direct release leaves more behind than there may be, but no more than its pages: it listed them.
    """
    record, flight = view.record, view.frame.flight
    gone = come = 0
    for step in flight.steps:
        if step.opens < view.frame.opens:
            continue  # it was over, or the pages count as touched
        if step.frm == DEFERRED:
            gone |= step.pages
        elif step.to == DEFERRED:
            come |= step.pages
    low, high = listed(view, gone, come)
    value = record.defer_exit - drift
    own = (flight.whole.alone and not drift) or (
        record.path == Path.DIRECT and high < value <= high + record.count)
    yield from _between((low, high), value, _counts(record) if own else "R10", "at return")


def counted(view: View, drift: int) -> Iterator[Found]:
    """R8: the pages on the list, as the shrinker counted them."""
    record = view.record
    if record.kind == Kind.COUNT:
        seen = 0 if record.ret == SHRINK_EMPTY else record.ret
        if not record.ret:
            yield "R8", 0, "SHRINK_EMPTY", "0 returned"
        else:
            yield from _between(listed(view), seen - drift, "R8", "returned")


def _counts(record: Record) -> str:
    """The rule by which an operation changes defer_count."""
    if record.kind == Kind.RELEASE:
        return "R2"
    if record.kind == Kind.ALLOC:
        return "R5" if record.path == Path.HIT else "R6" if record.n_free else "R10"
    return "R9" if record.kind == Kind.SCAN else "R10"


def _between(bounds: tuple[int, int], value: int, rule: str, when: str) -> Iterator[Found]:
    low, high = bounds
    if not low <= value <= high:
        want = f"{low}" if low == high else f"{low} to {high}"
        yield rule, 0, f"defer_count {want}", f"{value} {when}"


def release(view: View) -> Iterator[Found]:
    """R1 to R3: what became of the pages, the return value, and the trace event."""
    record, facts = view.record, view.facts
    if record.flags & SILENT and record.path == Path.DEFERRED:
        yield "R2", 0, "a cma_release trace event", "none"
    if record.path == Path.REJECTED or not record.ret:
        if inside(facts, record.pfn, record.count) and record.count:
            yield "R1", 0, "true returned", "false for pages of the area"
    elif not inside(facts, record.pfn, 0) or record.pfn == facts.base_pfn + facts.count:
        yield "R1", 0, "false returned", f"true for pfn {record.pfn:#x} outside of the area"
    elif (not view.frame.flight.operation.calls and record.count
          and (not view.policy.deferral or view.frame.batches == {0})):
        yield ("R1", pages_of(facts, record.pfn, record.count),
               "free_contig_range() while batch is 0", "a deferred release")
