# SPDX-License-Identifier: GPL-2.0
"""Whose pages are whose, while the demand on one area is gathered. Pure."""

from __future__ import annotations

from collections import defaultdict

from cmaobs.choices import granules
from cmaobs.events import Kind, Operation, Path, Record
from cmaobs.export.words import thread_name
from cmaobs.runs import bits, runs, union
from cmaobs.state import AreaState
from cmaobs.whatif.demand import ASK, BEFORE, GIVE, IDLE_NS, REACH, WARM, Demand, Event

NOT_SEEN = "pages released whose allocation was not seen"
GRANTED_AGAIN = "releases that were not seen, noticed when their pages were granted again"
RELEASED_AT_REST = "releases that were not seen, noticed at rest"
ALLOCATED_AT_REST = "allocations that were not seen, noticed at rest"
_EBUSY = -16
_LATEST_NS = (1 << 63) - 1
_FREES = 4096  # measured releases that are kept


class Holding:
    """Builds a Demand from what took effect, in that order.

    known: a first state was given; what comes before it is asked of an area that is all clear.
    """

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.known = False
        self._held: dict[int, tuple[int, int, int, int]] = {}  # pfn: ask, offset, pages, since
        self._set = 0  # granules
        self._times: dict[int, list[int]] = defaultdict(lambda: [0, 0])  # pages: ns, holds
        self._tids: set[int] = set()
        self._busy_until = 0
        self._contig_until = 0
        self._since_idle = 0  # operations
        self._idle = True

    def begin(self, state: AreaState, events: int) -> None:
        """The first reading that can be used. events: that were gathered before."""
        self.known = True
        demand = self.demand
        demand.batch = state.batch or 0
        demand.start_ns = demand.end_ns = state.start_ns
        if events:
            demand.left_out["operations before the first reading, whose pages may be others'"] += (
                events)
            return
        demand.reserved = state.allocated
        if not state.at_rest:
            demand.left_out["first readings while operations were in flight"] += 1
        for pfn, pages in state.allocated:
            self._held[pfn] = BEFORE, pfn, pages, state.start_ns
        self._set = self._bits(state)
        # What is left of an extent may share a bit with an allocation.
        taken = 0 if demand.facts.order_per_bit else self._set
        for pfn, pages in state.extents or ():
            mask = bits(pfn - demand.facts.base_pfn, pages)
            if mask & taken or not pages:
                demand.left_out["extents of pages that are allocated as well, or twice listed"] += 1
            else:
                demand.extents += ((pfn, pages),)
                taken |= mask

    def end(self) -> Demand:
        """All was told."""
        self.demand.threads = len(self._tids)
        return self.demand

    def passes(self, record: Record) -> None:
        """An operation, of any kind."""
        demand = self.demand
        demand.operations += 1
        rested = record.start_ns - self._busy_until > IDLE_NS
        self._since_idle = 0 if rested else self._since_idle + 1
        self._idle = self._since_idle < WARM
        if record.start_ns < self._busy_until:
            demand.overlapping += 1
        self._busy_until = max(self._busy_until, record.end_ns)
        demand.start_ns = demand.start_ns or record.start_ns
        demand.end_ns = max(demand.end_ns, record.end_ns)

    def holds(self, record: Record) -> bool:
        """Whether pages that an allocation was granted are still another's."""
        return bool(record.pfn and record.path in (Path.HIT, Path.CONTIG)
                    and granules(self.demand.facts, record.pfn, record.count) & self._set)

    def ask(self, time_ns: int, operation: Operation) -> None:
        """An allocation."""
        record, demand = operation.record, self.demand
        self._tids.add(record.tid)
        caller = demand.callers.setdefault(thread_name(record), [0, 0, 0, 0])
        for i, more in enumerate((1, record.count, record.path == Path.FAILED,
                                  record.end_ns - record.start_ns)):
            caller[i] += more
        tries = [(call.pfn, call.ret) for call in operation.calls if call.kind == Kind.CONTIG]
        demand.contig += len(tries)
        demand.busy += sum(ret == _EBUSY for _, ret in tries)
        granted = record.path in (Path.HIT, Path.CONTIG)
        if granted and self.holds(record):
            self._close(time_ns, granules(demand.facts, record.pfn, record.count),
                        GRANTED_AGAIN)
        ask = demand.asks.add(record.count, record.path, record.end_ns - record.start_ns,
                              record.pfn if granted else 0, self._idle, self._alone(record))
        if any(ret for _, ret in tries):
            demand.asks.tries[ask] = tuple(tries)
        if freeing := sum(call.end_ns - call.start_ns for call in operation.calls
                          if call.kind == Kind.FREE):
            demand.asks.freeing[ask] = freeing
        demand.events.add(Event(time_ns, ASK, ask, record.count, record.align), record.tid)
        if granted:
            self._hold(record.pfn, ask, 0, record.count, record.end_ns)
        elif record.count:
            usual = self._times[record.count] if self._times[record.count][1] else self._times[0]
            if usual[1]:
                demand.later.append((min(record.end_ns + usual[0] // usual[1], _LATEST_NS), ask,
                                     record.count))

    def _alone(self, record: Record) -> int:
        if record.path != Path.CONTIG:
            return 0
        before, self._contig_until = self._contig_until, max(self._contig_until, record.end_ns)
        return max(record.end_ns - max(record.start_ns, before), 0)

    def give(self, time_ns: int, record: Record) -> None:
        """A release: of all that was granted at once, or of parts."""
        held = self._held.get(record.pfn)
        if held is not None and held[2] == record.count:
            self._event(time_ns, held, 0, record.count, record.tid)
            del self._held[record.pfn]
            for key in (record.count, 0):
                self._times[key][0] += max(record.start_ns - held[3], 0)
                self._times[key][1] += 1
            self._set &= ~granules(self.demand.facts, record.pfn, record.count)
            return
        missing = granules(self.demand.facts, record.pfn, record.count) & ~self._set
        if missing:
            self.demand.left_out[NOT_SEEN] += (
                missing.bit_count() << self.demand.facts.order_per_bit)
        self._part(time_ns, record.pfn, record.count, record.tid)

    def measure(self, operation: Operation) -> None:
        """How long free_contig_range() took."""
        frees = self.demand.frees
        if len(frees) < _FREES:
            frees += [(call.count, call.end_ns - call.start_ns) for call in operation.calls
                      if call.kind == Kind.FREE]

    def other(self, time_ns: int, kind: int, record: Record) -> None:
        """A SCAN, REACH or BATCH."""
        value = 0 if kind == REACH else record.count
        self.demand.events.add(Event(time_ns, kind, 0, value, 0), record.tid)

    def rest(self, state: AreaState) -> None:
        """A reading at rest: pages that it shows allocated and that no allocation got are asked for
        now, and those that it shows clear are given back."""
        found = self._bits(state)
        if gone := self._set & ~found:
            self._close(state.start_ns, gone, RELEASED_AT_REST)
        facts, order = self.demand.facts, self.demand.facts.order_per_bit
        for first, length in runs(found & ~self._set):
            pfn, pages = facts.base_pfn + (first << order), length << order
            ask = self.demand.asks.add(pages, Path.NONE, 0, pfn)
            self.demand.events.add(Event(state.start_ns, ASK, ask, pages, 0), 0)
            self._hold(pfn, ask, 0, pages, state.start_ns)
            self.demand.left_out[ALLOCATED_AT_REST] += 1

    def _bits(self, state: AreaState) -> int:
        order = self.demand.facts.order_per_bit
        pages = union(state.allocated, self.demand.facts.base_pfn)
        return pages if not order else union(
            (first >> order, -(-length >> order)) for first, length in runs(pages))

    def _hold(self, pfn: int, ask: int, offset: int, pages: int, since_ns: int) -> None:
        self._held[pfn] = ask, offset, pages, since_ns
        self._set |= granules(self.demand.facts, pfn, pages)

    def _event(self, time_ns: int, held: tuple[int, int, int, int], skip: int, pages: int,
               tid: int) -> None:
        self.demand.events.add(Event(time_ns, GIVE, held[0], held[1] + skip, pages), tid)

    def _granule_end(self, pfn: int) -> int:
        base, order = self.demand.facts.base_pfn, self.demand.facts.order_per_bit
        return base + (-(-(pfn - base) >> order) << order)

    def _close(self, time_ns: int, gone: int, why: str) -> None:
        order = self.demand.facts.order_per_bit
        for first, length in runs(gone):
            self.demand.left_out[why] += 1
            self._part(time_ns, self.demand.facts.base_pfn + (first << order), length << order, 0)

    def _part(self, time_ns: int, pfn: int, count: int, tid: int) -> None:
        """Every holding that these pages are of gives back its part."""
        end = pfn + count
        for first in sorted(first for first, held in self._held.items()
                            if first < end and pfn < first + held[2]):
            held = self._held.pop(first)
            low, high = max(pfn, first), min(end, first + held[2])
            self._event(time_ns, held, low - first, high - low, tid)
            if low > first:
                self._held[first] = held[0], held[1], low - first, held[3]
            if held[0] == BEFORE:  # known by its bits only: what is left of a granule is nobody's
                high = self._granule_end(high)
            if high < first + held[2]:
                self._held[high] = (held[0], held[1] + high - first, first + held[2] - high,
                                    held[3])
        self._set &= ~granules(self.demand.facts, pfn, count)
