# SPDX-License-Identifier: GPL-2.0
"""Demand from the steps of a recording. Pure.

What cannot be used is left out and counted. A reading at rest closes gaps: see Holding.rest().
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from cmaobs.events import NO_AREA, Kind, Operation, Path, Record, decode
from cmaobs.history import Gap, History
from cmaobs.sanity import record_fault, state_fault
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, AreaState, Reading
from cmaobs.whatif.demand import BATCH, REACH, SCAN, Demand
from cmaobs.whatif.holding import Holding
from cmaobs.whatif.told import Told

GAP = "gaps: {}"
IMPOSSIBLE = "records that cannot be what they say they are"
BACKWARDS = "batches whose clock stood before that of the batch before"
ELSEWHERE = "operations of no known area"
REJECTED = "releases that the kernel rejected"
NOT_ITS_OWN = "releases of pages that are not the area's"
_MOST_ALIGNED = 20
ALIGNED = f"allocations aligned to more than 2^{_MOST_ALIGNED} pages"
_FAR = 1 << 62

Waiting = tuple[int, int, Operation | AreaState]  # time, number, what


class Gather:
    """Takes the steps of one recording; demands() is what they come to.

    left_out: of the whole recording; what is an area's own is in its demand.
    """

    def __init__(self, source: str, identity: Mapping[str, str],
                 areas: Iterable[AreaFacts]) -> None:
        self.left_out: Counter[str] = Counter()
        self._areas = {area.index: area for area in areas}
        patched = identity.get("patched") == "yes"
        kernel = identity.get("release", "unknown")
        self._holdings = {area.index: Holding(Demand(area, source, patched, kernel))
                          for area in self._areas.values() if not area.ranges}
        self._several: Counter[str] = Counter()
        self._history = History()
        self._heap: list[Waiting] = []
        self._number = 0
        self._watermark_ns = 0
        self._told = Told(self.left_out)
        self._scanner = Reclaim()

    def add(self, step: Batch | Reading) -> None:
        """A step."""
        if isinstance(step, Reading):
            self._reading(step)
            return
        self._take(self._history.feed(filter(self._possible, decode(step.data))))
        self._take(self._history.settle(step.watermark_ns))
        if step.watermark_ns < self._watermark_ns:
            self.left_out[BACKWARDS] += step.watermark_ns != 0
        self._watermark_ns = max(self._watermark_ns, step.watermark_ns)
        self._drain(self._watermark_ns)

    def demands(self) -> list[Demand]:
        """There is no further step. One for each area that was asked for pages."""
        self._take(self._history.settle(_FAR))
        self._drain(_FAR)
        for name, operations in self._several.items():
            self.left_out[f"operations on area {name}, which has several ranges"] += operations
        return [holding.end() for holding in self._holdings.values()
                if holding.demand.operations]

    def _possible(self, record: Record) -> bool:
        fault = record_fault(record, self._areas)
        if fault:
            self.left_out[IMPOSSIBLE] += 1
        return not fault

    def _take(self, items: Iterator[Operation | Gap]) -> None:
        for item in items:
            if isinstance(item, Gap):
                self.left_out[GAP.format(item.reason)] += 1
            elif item.record.area in self._holdings:
                if item.record.align > _MOST_ALIGNED:
                    self.left_out[ALIGNED] += 1
                elif item.record.kind < Kind.CONTIG:
                    self._wait(item.record.start_ns, item)
            elif item.record.area == NO_AREA:
                self.left_out[ELSEWHERE] += 1
            else:
                self._several[self._areas[item.record.area].name] += 1

    def _wait(self, time_ns: int, what: Operation | AreaState) -> None:
        self._number += 1
        heapq.heappush(self._heap, (time_ns, self._number, what))

    def _reading(self, reading: Reading) -> None:
        if self._told.first:
            for holding in self._holdings.values():
                holding.demand.wall_s = reading.wall_s
        self._told.take(reading)
        for state in reading.states:
            if state.facts.index not in self._holdings or state_fault(state):
                continue
            holding = self._holdings[state.facts.index]
            if not holding.known:
                holding.begin(state, len(holding.demand.events))
            elif state.at_rest:
                self._wait(state.start_ns, state)

    def _drain(self, until_ns: int) -> None:
        """What took effect before until_ns, in order. An allocation of pages that are still held
        waits: their release, which overlaps it, came first."""
        while self._heap and self._heap[0][0] < until_ns:
            time_ns, _, what = heapq.heappop(self._heap)
            if isinstance(what, AreaState):
                self._holdings[what.facts.index].rest(what)
                continue
            record = what.record
            holding = self._holdings[record.area]
            if (record.kind == Kind.ALLOC and time_ns < (latest := latest_ns(what))
                    and holding.holds(record)):
                self._wait(latest, what)
                continue
            self._operation(holding, time_ns, what)

    def _operation(self, holding: Holding, time_ns: int, operation: Operation) -> None:
        record = operation.record
        holding.passes(record)
        if record.kind == Kind.ALLOC:
            holding.ask(time_ns, operation)
        elif record.kind == Kind.RELEASE:
            if record.path == Path.REJECTED or not record.ret:
                holding.demand.left_out[REJECTED] += 1
            elif not holding.demand.facts.holds(record.pfn, record.count):
                holding.demand.left_out[NOT_ITS_OWN] += 1
            else:
                holding.give(time_ns, record)
                holding.measure(operation)
        elif record.kind == Kind.BATCH:
            if not record.ret:
                holding.other(time_ns, BATCH, record)
        elif record.kind == Kind.COUNT:
            self._scanner.counted(record)
            holding.other(time_ns, REACH, record)
        elif record.kind == Kind.SCAN and self._scanner.by_hand(record):
            holding.other(time_ns, SCAN, record)


def latest_ns(operation: Operation) -> int:
    """By when an allocation had picked its run."""
    return min((call.start_ns for call in operation.calls), default=operation.record.end_ns)


class Reclaim:
    """Tells scans that reclaim made from those that somebody wrote to debugfs.

    do_shrink_slab() counts first, and then scans on the same thread, unless there is nothing. Its
    scans depend on what was on the list, so they are made anew from the count.
    """

    def __init__(self) -> None:
        self._counted: dict[int, int] = {}  # thread, and what its count returned

    def counted(self, record: Record) -> None:
        """A call of count."""
        self._counted[record.tid] = record.ret

    def by_hand(self, scan: Record) -> bool:
        """Whether no count led to the scan."""
        return self._counted.get(scan.tid, 0) <= 0
