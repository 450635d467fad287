# SPDX-License-Identifier: GPL-2.0
"""What an operation's records say it did, and between which times.

A Step is an effect on pages, on bits, or on both. A Frame is an interval at
one instant of which the operation looked at the area: its search, its fetch,
its flush or its scan. Pages and bits are sets as in cmaobs.runs, counted from
the area's first.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cmaobs.crosscheck.extents import Piece
from cmaobs.events import Kind, Operation, Path, Record
from cmaobs.model import EBUSY, granules, next_start
from cmaobs.runs import bits
from cmaobs.state import AreaFacts

ALLOCATED, DEFERRED, FREE = 0, 1, 2
STATES = ("allocated", "deferred", "free")


class Step:
    """Pages go from state frm to state to, and bits become set or clear.

    opens, closes: the effect cannot be seen outside of this interval, in ns.
    lo, hi: one instant between these puts the step in order with others on
    the same page.
    """

    __slots__ = ("bits", "closes", "flight", "frm", "hi", "lo", "opens", "pages", "sets", "to")

    def __init__(self, flight: Flight, opens: int, closes: int, pages: int = 0,
                 frm: int = ALLOCATED, to: int = ALLOCATED, marks: int = 0,
                 sets: bool = False) -> None:
        self.flight = flight
        self.opens = self.lo = opens
        self.closes = self.hi = closes
        self.pages = pages
        self.frm = frm
        self.to = to
        self.bits = marks
        self.sets = sets


class Effects:
    """What some steps may have had an effect on: pages, bits, and as moved those of the pages that
    came to the list or left it.

    Sums, since what kept the steps would keep their operations, and through them all that these
    overlapped with.
    """

    __slots__ = ("bits", "moved", "pages")

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.pages = self.moved = self.bits = 0
        for step in steps:
            self.add(step)

    def add(self, step: Step) -> None:
        """One more."""
        self.pages |= step.pages
        self.bits |= step.bits
        if DEFERRED in (step.frm, step.to):
            self.moved |= step.pages


class Look(Enum):
    """What an operation looked at the area for, during a frame."""

    SEARCH = 0  # an allocation: for a run of clear bits, and for its extent
    TAKE = 1  # a scan that freed all it was asked for: the list, until its last extent left it
    ENTRY = 2  # a probe: defer_count, before all that the operation did
    RETURN = 3  # and after all that it did
    WHOLE = 4  # all of the operation


class Frame:
    """An interval, and what was known of the area when it began (set by the sweep).

    call: the contig call that followed an allocation's search. before: bits
    that the search before this one had set. start: granule the search began at.
    busy: pages of steps that were open when it began. others: the effects of these, and of what
    others began since. alone: of a whole operation, no other was in flight with it. listed: of a
    whole operation, the extents when it began, in no order; None where they are too many.
    """

    __slots__ = ("alone", "batches", "before", "busy", "call", "clear", "closes", "deferred",
                 "flight", "frees", "hit", "listed", "look", "maybe", "one", "opens", "others",
                 "pieces", "set", "start", "whole")

    def __init__(self, flight: Flight, opens: int, closes: int, look: Look) -> None:
        self.flight = flight
        self.opens = opens
        self.closes = closes
        self.look = look
        self.whole = look is Look.WHOLE
        self.call: Record | None = None
        self.frees: list[Record] = []
        self.hit = False
        self.before = 0
        self.start = 0
        self.deferred = self.maybe = self.clear = self.set = self.busy = 0
        self.others = Effects()
        self.one: bool | None = None
        self.batches: set[int] | None = None
        self.pieces: tuple[Piece, ...] = ()
        self.listed: tuple[Piece, ...] | None = ()
        self.alone = True


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
