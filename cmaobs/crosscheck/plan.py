# SPDX-License-Identifier: GPL-2.0
"""What an operation's records say it did and looked at, and between which times."""

from __future__ import annotations

from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, Frame, Look, Step
from cmaobs.events import Kind, Operation, Path, Record
from cmaobs.model import EBUSY, granules, next_start
from cmaobs.runs import bits
from cmaobs.state import AreaFacts


class Flight:
    """An operation with its steps and frames.

    fault: (rule, expected, observed) where the records contradict the rules by themselves.
    vague: of a release, which of its pages lie in the extent it made is not certain. origin: of
    that extent, and of what is left of it.
    """

    __slots__ = ("blind", "fault", "frames", "operation", "origin", "steps", "vague", "whole")

    def __init__(self, operation: Operation, facts: AreaFacts, limit: int) -> None:
        record = operation.record
        self.operation = operation
        self.origin = object()
        self.steps: list[Step] = []
        self.frames: list[Frame] = []
        self.fault: tuple[str, str, str] | None = None
        self.blind = self.vague = False
        self.whole = Frame(self, record.start_ns, record.end_ns, Look.WHOLE)
        if record.kind == Kind.ALLOC:
            _alloc(self, facts)
        elif record.kind == Kind.RELEASE:
            _release(self, facts)
        elif record.kind in (Kind.SCAN, Kind.BATCH):
            for call in operation.calls:
                _leave(self, facts, call, record.start_ns, record.end_ns)
        for step in self.steps:
            step.pages &= limit
        _reads(self)


def pages_of(facts: AreaFacts, pfn: int, count: int) -> int:
    """The set of count pages from pfn on; what lies outside of the area is left out."""
    first = max(pfn, facts.base_pfn)
    last = min(pfn + count, facts.base_pfn + facts.count)
    return bits(first - facts.base_pfn, last - first) if last > first else 0


def inside(facts: AreaFacts, pfn: int, count: int) -> bool:
    """Whether all of the range lies in the area."""
    return facts.base_pfn <= pfn and pfn + count <= facts.base_pfn + facts.count


def _leave(flight: Flight, facts: AreaFacts, call: Record, opens: int, closes: int) -> None:
    """Deferred pages go to the buddy: off the list before the call, in the buddy within it.

    Nothing else can happen to the pages in between, so the call's beginning
    stands for both.
    """
    step = Step(flight, opens, closes, pages_of(facts, call.pfn, call.count), DEFERRED, FREE)
    step.lo = step.hi = call.start_ns
    flight.steps.append(step)


def _reads(flight: Flight) -> None:
    """What is looked at apart from searches, where the calls inside tell more than the whole."""
    record, calls = flight.operation
    if not calls:
        return
    first = min(call.start_ns for call in calls)
    last = max(call.end_ns for call in calls)
    flight.frames.append(Frame(flight, record.start_ns, first, Look.ENTRY))
    flight.frames.append(Frame(flight, last, max(last, record.end_ns), Look.RETURN))
    if record.kind == Kind.SCAN and sum(call.count for call in calls) == record.count:
        until = max(call.start_ns for call in calls)
        flight.frames.append(Frame(flight, record.start_ns, until, Look.TAKE))


def _release(flight: Flight, facts: AreaFacts) -> None:
    record = flight.operation.record
    calls = flight.operation.calls
    if not record.ret or not inside(facts, record.pfn, record.count):
        return
    marks = granules(facts, record.pfn, record.count)
    pages = pages_of(facts, record.pfn, record.count)
    if not calls:
        flight.steps.append(Step(flight, record.start_ns, record.end_ns, pages, ALLOCATED,
                                 DEFERRED, marks))
        return
    freed = 0
    for call in calls:
        part = pages_of(facts, call.pfn, call.count)
        if part & freed or part & ~pages:
            flight.fault = ("R1", "only the released pages freed, once",
                            f"pfn {call.pfn:#x}+{call.count} freed")
        flight.steps.append(Step(flight, call.start_ns, call.end_ns, part, ALLOCATED, FREE))
        freed |= part
    if freed != pages:
        flight.fault = ("R1", f"{record.count} pages freed", f"{freed.bit_count()} pages freed")
    flight.steps.append(Step(flight, record.start_ns, record.end_ns, marks=marks))


def _alloc(flight: Flight, facts: AreaFacts) -> None:
    record = flight.operation.record
    opens = record.start_ns
    frees: list[Record] = []
    start = before = 0
    last: int | None = None
    for call in sorted(flight.operation.calls, key=lambda c: c.start_ns):
        if call.kind == Kind.FREE:
            frees.append(call)
            continue
        if last not in (None, -EBUSY):
            flight.fault = ("R7", "no further try", f"a try after {last}")
        if call.count != record.count:
            flight.fault = ("R7", f"{record.count} pages asked of the buddy", f"{call.count}")
        frame = _search(flight, opens, call.start_ns, frees, before, start)
        frame.call = call
        marks = granules(facts, call.pfn, call.count) if call.pfn >= facts.base_pfn else 0
        until = frees[0].start_ns if frees else call.start_ns
        flight.steps.append(Step(flight, opens, until, marks=marks, sets=True))
        for free in frees:
            _leave(flight, facts, free, opens, max(free.end_ns, call.start_ns - 1))
        if not call.ret:
            flight.steps.append(Step(flight, call.start_ns, call.end_ns,
                                     pages_of(facts, call.pfn, call.count), FREE, ALLOCATED))
        else:
            before, start = marks, next_start(facts, call.pfn, record.align)
        opens, frees, last = call.end_ns, [], call.ret
    _last_try(flight, facts, _search(flight, opens, record.end_ns, frees, before, start), last)
    _cleared(flight)


def _last_try(flight: Flight, facts: AreaFacts, frame: Frame, last: int | None) -> None:
    """What came after the last contig call: a hit, or a search in vain, or nothing."""
    record = flight.operation.record
    path = Path(record.path)
    if last == 0 or path == Path.CONTIG:
        contig = flight.frames[-2].call if len(flight.frames) > 1 else None
        if path != Path.CONTIG or contig is None or contig.ret or contig.pfn != record.pfn:
            flight.fault = ("R7", "the pages of the contig call that succeeded",
                            f"pfn {record.pfn:#x} granted")
    elif last not in (None, -EBUSY) and path == Path.HIT:
        flight.fault = ("R7", f"NULL after {last}", f"pfn {record.pfn:#x} granted")
    if frame.frees and path != Path.HIT:
        flight.fault = ("R6", "no flush without a try", f"{len(frame.frees)} ranges freed")
    for free in frame.frees:
        _leave(flight, facts, free, frame.opens, record.end_ns)
    if path == Path.HIT:
        frame.hit = True
        until = frame.frees[0].start_ns if frame.frees else record.end_ns
        pages = pages_of(facts, record.pfn, record.count)
        marks = granules(facts, record.pfn, record.count) if pages else 0
        flight.steps.append(Step(flight, frame.opens, until, pages, DEFERRED, ALLOCATED, marks,
                                 sets=True))
    elif last not in (None, -EBUSY):
        flight.frames.pop()  # no search came after it


def _search(flight: Flight, opens: int, closes: int, frees: list[Record], before: int,
            start: int) -> Frame:
    frame = Frame(flight, opens, closes, Look.SEARCH)
    frame.frees, frame.before, frame.start = frees, before, start
    flight.frames.append(frame)
    return frame


def _cleared(flight: Flight) -> None:
    """R7: bits of a failed try are cleared between its end and the next one's pick."""
    for i, frame in enumerate(flight.frames):
        call = frame.call
        if call is None or not call.ret:
            continue
        marks = next(s.bits for s in flight.steps if s.sets and s.opens == frame.opens and s.bits)
        following = flight.frames[i + 1] if i + 1 < len(flight.frames) else None
        until = following.closes if following else flight.operation.record.end_ns
        flight.steps.append(Step(flight, call.end_ns, until, marks=marks))
