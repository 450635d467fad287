# SPDX-License-Identifier: GPL-2.0
"""Follows who holds which pages, from the records of allocations and releases. Pure.

A caller has its pages at the latest when cma_alloc returns, and gives them up at the earliest when
it calls cma_release. In the order of these times - the end of an allocation, the start of a
release - every page goes from hand to hand as it did, however the operations overlapped. So records
wait until all that came before them have arrived. An area that was read at rest says what is held
exactly: what is missing here is then MISSED, what is held here but not there was released unseen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from cmaobs.events import KTHREAD, PROCESS, RECORD, Kind, Path
from cmaobs.state import AreaFacts, AreaState, Owned, Reading, Run
from cmaobs.who import callers
from cmaobs.who.book import Book, Piece
from cmaobs.who.callers import BEFORE, MISSED, Caller
from cmaobs.who.drivers import UNKNOWN, driver_of
from cmaobs.who.ledger import Counts, Label, Ledger

_ERRNO = {-12: "ENOMEM", -16: "EBUSY", -4: "EINTR"}
_MEMBERS = ("start_ns", "end_ns", "pfn", "count", "ret", "tgid", "kind", "path", "area", "flags",
            "comm", "stack")
_FIELDS = RECORD.only(*_MEMBERS)
_KIND, _AREA = _MEMBERS.index("kind"), _MEMBERS.index("area")
_WAITING = (128 << 20) // RECORD.size  # records between two readings


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds what at one moment. Mappings are by the index of the area.

    at_ns: of the latest reading, CLOCK_MONOTONIC. pieces: every run of pages, ascending.
    uncertain_ns: records were lost up to then, so that pages held since earlier may have changed
    hands unseen; 0 where none was lost. exact: whether the pieces were compared with the
    kernel's bitmap at rest at the latest reading. callers, forgotten, series: see Ledger.
    """

    at_ns: int = 0
    pieces: Mapping[int, tuple[Piece, ...]] = field(default_factory=dict)
    exact: Mapping[int, bool] = field(default_factory=dict)
    uncertain_ns: int = 0
    callers: Mapping[tuple[int, Caller], Counts] = field(default_factory=dict)
    forgotten: Mapping[int, Counts] = field(default_factory=dict)
    series: Mapping[tuple[int, Label], Counts] = field(default_factory=dict)

    def certain(self, piece: Piece) -> bool:
        """Whether the allocation was seen, and every operation since."""
        return not piece.caller.unseen and piece.since_ns > self.uncertain_ns


_Who = tuple[int, int, bytes, int]
"""tgid, flags, comm and stack of a record."""

_Event = tuple[int, int, int, int, Caller | None, str]
"""When it counts; first pfn, pages and pages asked for; who asked, None for a release; an errno.

Seconds of them may wait for a reading: a caller is one object for all that it asked for.
"""

_AT = itemgetter(0)


class _Area:
    def __init__(self, facts: AreaFacts) -> None:
        self.facts = facts
        self.book = Book(facts.base_pfn, facts.span)
        self.read = self.exact = False
        self.waiting: list[_Event] = []


class Follower:
    """Feed the records of each batch, then the reading that follows; holders is of then."""

    def __init__(self, areas: tuple[AreaFacts, ...]) -> None:
        self._areas = {facts.index: _Area(facts) for facts in areas}
        self._ledger = Ledger()
        self._drivers: dict[int, str] = {}
        self._callers: dict[_Who, Caller] = {}
        self._data: list[bytes] = []
        self._records = 0
        self._overflowed = False
        self._lost = 0
        self._uncertain_ns = 0
        self.holders = Holders()

    def add(self, data: bytes) -> None:
        """Whole structs cmaobs_record, as they came."""
        self._records += len(data) // RECORD.size
        if self._records > _WAITING:
            self._data.clear()
            self._overflowed = True
        elif data:
            self._data.append(data)

    def read(self, reading: Reading, watermark_ns: int) -> None:
        """A reading, whose stacks are those of the records before it.

        watermark_ns: whatever began before has arrived.
        """
        self._name(reading.stacks)
        self._sort()
        if reading.losses.total > self._lost or self._overflowed:
            self._uncertain_ns = reading.time_ns
            self._lost, self._overflowed = reading.losses.total, False
        for area in self._areas.values():
            self._apply(area, watermark_ns - 1)
        for state in reading.states:
            found = self._areas.get(state.facts.index)
            if found is not None and not state.fault:
                if state.at_rest:  # nothing is in flight: whatever began before has arrived
                    self._apply(found, state.start_ns)
                self._compare(found, state, reading.owners)
        self._show(reading.time_ns)

    def end(self, watermark_ns: int) -> None:
        """Nothing more will come: take what is certain to be complete."""
        self._sort()
        for area in self._areas.values():
            self._apply(area, watermark_ns - 1)
        self._show(max(self.holders.at_ns, watermark_ns))

    def _name(self, stacks: Mapping[int, tuple[str, ...]]) -> None:
        for number, frames in stacks.items():
            self._drivers[number] = driver_of(frames)

    def _sort(self) -> None:
        areas = self._areas
        for data in self._data:
            for values in _FIELDS.iter_unpack(data):
                if values[_KIND] in (Kind.ALLOC, Kind.RELEASE):
                    area = areas.get(values[_AREA])
                    event = area and self._event(area.facts, *values)
                    if area is not None and event:
                        area.waiting.append(event)
        self._data.clear()
        self._records = 0
        for area in areas.values():
            area.waiting.sort(key=_AT)  # stable: what came first stays first

    def _event(self, facts: AreaFacts, start_ns: int, end_ns: int, pfn: int, count: int,
               ret: int, tgid: int, kind: int, path: int, _area: int, flags: int, comm: bytes,
               stack: int) -> _Event | None:
        """A record whose pages change hands, or an allocation that failed; None for any other.

        The pages are those whose bits an allocation sets and a release clears: whole
        1 << order_per_bit (mm/cma.c: cma_bitmap_pages_to_bits() rounds the count up).
        """
        if kind == Kind.ALLOC:
            if path not in (Path.FAILED, Path.HIT, Path.CONTIG):
                return None
            at_ns, who = end_ns, (tgid, flags, comm, stack)
            caller = self._callers.get(who) or self._caller(who)
            if path == Path.FAILED:
                return at_ns, 0, 0, 0, caller, _ERRNO.get(ret, "other")
            if not pfn:  # this kernel does not tell it; see plan.py on mem_section
                return at_ns, 0, 0, count, caller, ""
        else:
            at_ns, caller = start_ns, None
            if path == Path.REJECTED:
                return None
        first = pfn - facts.base_pfn
        if count < 1 or first < 0 or (first + count > facts.count and not facts.holds(pfn, count)):
            return None
        if facts.order_per_bit:
            mask = (1 << facts.order_per_bit) - 1
            return at_ns, pfn - (first & mask), count + mask & ~mask, count, caller, ""
        return at_ns, pfn, count, count, caller, ""

    def _apply(self, area: _Area, until_ns: int) -> None:
        done = bisect_right(area.waiting, until_ns, key=_AT)
        asked: dict[Caller, Counter[str]] = {}
        for at_ns, pfn, pages, count, caller, failure in area.waiting[:done]:
            if caller is None:
                area.book.give(pfn, pages, at_ns)
                continue
            counter = asked.get(caller)
            if counter is None:
                counter = asked[caller] = Counter()
            if failure:
                counter[failure] += 1
                continue
            counter["allocations"] += 1
            counter["pages"] += count
            if pfn:
                area.book.take(Piece(pfn, pages, at_ns, caller))
        del area.waiting[:done]
        for caller, counter in asked.items():
            allocations, granted = counter.pop("allocations", 0), counter.pop("pages", 0)
            self._ledger.add(area.facts.index, caller, Counts(allocations, granted, counter))

    def _caller(self, who: _Who) -> Caller:
        if len(self._callers) > 1 << 16:
            self._callers.clear()
        tgid, flags, comm, stack = who
        kind = (callers.KTHREAD if flags & KTHREAD else
                callers.PROCESS if flags & PROCESS else callers.NOT_TOLD)
        found = self._callers[who] = Caller(
            kind, comm.partition(b"\0")[0].decode("utf-8", "replace"), tgid,
            self._drivers.get(stack, UNKNOWN), stack)
        return found

    def _compare(self, area: _Area, state: AreaState, owners: tuple[Owned, ...]) -> None:
        """What the kernel holds, against what is held here."""
        area.exact = state.at_rest
        if state.at_rest and area.book.covers(state.allocated):
            area.read = True
            return
        # A bit that is clear is nobody's; one that is set may be an operation's in flight.
        area.book.keep(state.allocated, unseen=not state.at_rest)
        if not area.read:
            for one in owners:
                caller = Caller(BEFORE.kind, one.comm, one.pid, driver_of(one.frames), 0)
                area.book.fill(_overlap(state.allocated, one), caller,
                               min(one.since_ns, state.start_ns))
            area.book.fill(state.allocated, BEFORE, state.start_ns)
        elif state.at_rest:
            area.book.fill(state.allocated, MISSED, state.start_ns)
        area.read = True

    def _show(self, at_ns: int) -> None:
        self.holders = Holders(
            at_ns, {index: area.book.pieces() for index, area in self._areas.items()},
            {index: area.exact for index, area in self._areas.items()}, self._uncertain_ns,
            dict(self._ledger.callers), dict(self._ledger.forgotten), dict(self._ledger.series))


def _overlap(runs: Sequence[Run], one: Owned) -> Iterator[Run]:
    """What of these runs, which ascend, lies in the owner's."""
    for at in range(max(bisect_right(runs, (one.pfn, 0)) - 1, 0), len(runs)):
        pfn, pages = runs[at]
        begin, end = max(pfn, one.pfn), min(pfn + pages, one.pfn + one.pages)
        if begin < end:
            yield begin, end - begin
        elif pfn >= end:
            break
