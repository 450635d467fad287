# SPDX-License-Identifier: GPL-2.0
"""The demand on an area through the model, under given rules. Pure.

Each operation takes effect at one instant, in the order and at the times that were recorded. A
miss has two: it picks its run, and gives back what is deferred when it has cma_mutex, for which it
waits where there are several threads. What alloc_contig_range() would have returned for pages that
it was not asked for is not known: success is assumed, and such calls are counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import NamedTuple

from cmaobs import model
from cmaobs.choices import granules, holds, next_start
from cmaobs.errors import UsageError
from cmaobs.events import Path
from cmaobs.runs import bits, runs, union
from cmaobs.steps import (
    Contig,
    Defer,
    Direct,
    Extent,
    Fault,
    Fetch,
    Flush,
    Give,
    Pick,
    Scan,
    SetBatch,
    State,
    Step,
    Unpick,
)
from cmaobs.whatif.choosing import Chooser
from cmaobs.whatif.demand import ASK, BATCH, BEFORE, GIVE, SCAN, Demand, Event
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules
from cmaobs.whatif.shrink import scans
from cmaobs.whatif.varied import busy, events_of

_LATEST_NS = 1 << 62


class Missed(NamedTuple):
    """An allocation that has picked a run, is no hit, and waits for the mutex until then."""

    until_ns: int
    ask: int
    align: int
    pfn: int
    pages: int


class Replay:
    """One run. batch: of all the time; None: as it was recorded.

    chance: the seed by which the demand is varied, as cmaobs.whatif.varied does; 0: it is not.
    """

    def __init__(self, demand: Demand, rules: Rules, batch: int | None = None,
                 chance: int = 0) -> None:
        self._demand, self._policy = demand, rules.policy
        self._chooser = Chooser(rules, demand.facts)
        self._chance = chance
        facts = demand.facts
        self.result = Result.of(demand)
        held = union(demand.reserved, facts.base_pfn) & ~union(demand.extents, facts.base_pfn)
        reserved = 0
        for pfn, pages in demand.reserved:
            reserved |= granules(facts, pfn, pages)
        self._as_recorded = batch is None
        # Under other rules nothing is deferred when it begins.
        listed = demand.extents if batch is None and self._policy.deferral else ()
        self._state = State(facts, reserved, held, 0, tuple(
            Extent(pfn, pages, -i, -i) for i, (pfn, pages) in enumerate(listed)),
            demand.batch if batch is None else batch)
        self._now = demand.start_ns
        self._waiting: deque[Missed] = deque()
        self._free_ns = demand.start_ns  # when the mutex is
        alone = [ns for ns, path in zip(demand.asks.alone, demand.asks.paths, strict=True)
                 if path == Path.CONTIG]
        self._usual_ns = sum(alone) // len(alone) if alone else 0

    def run(self) -> Result:
        """The whole demand. Raises UsageError where a user's class does what cannot be."""
        demand = self._demand
        order = demand.facts.order_per_bit
        size = demand.facts.count >> order
        withheld = self.result.withheld
        withheld.now(self._state.defer_count)
        for event in events_of(demand, self._chance):
            while self._waiting and self._waiting[0].until_ns <= event.time_ns:
                self._now = self._waiting[0].until_ns
                withheld.until(self._now, self._state.reserved, size, order)
                self._served()
                withheld.now(self._state.defer_count)
            self._now = event.time_ns
            withheld.until(event.time_ns, self._state.reserved, size, order)
            self._event(event)
            withheld.now(self._state.defer_count)
        while self._waiting:
            self._served()
            withheld.now(self._state.defer_count)
        withheld.until(demand.end_ns, self._state.reserved, size, order)
        self.result.state = self._state
        return self.result

    def _event(self, event: Event) -> None:
        _, kind, ask, a, b = event
        if kind == ASK:
            self._ask(ask, a, b)
        elif kind == GIVE:
            self._give(ask, a, b)
        elif kind == SCAN:
            self._scan(a)
        elif kind == BATCH:
            if self._as_recorded:
                self._do(SetBatch(a))
                if not a and self._state.extents:
                    self._take(Flush(tuple((e.pfn, e.pages) for e in self._state.extents)))
        elif self._state.extents:
            for asked in scans(self._state.defer_count, self._state.batch):
                if not self._scan(asked):
                    break

    def _do(self, made: Step) -> None:
        after = model.step(self._policy, self._state, made)
        if isinstance(after, Fault):
            raise UsageError(f"policy {self._chooser.name}: {after.rule}: expected "
                             f"{after.expected}, it chose {after.observed}", "correct the class")
        self._state = after

    def _ask(self, ask: int, count: int, align: int) -> None:
        pfn = self._pick(ask, count, align, 0)
        if pfn is None:
            return
        others = self._demand.threads - 1  # each has one allocation that can be before this one
        until_ns = min(max(self._now, self._free_ns), self._now + others * self._usual_ns)
        missed = Missed(until_ns, ask, align, pfn, count)
        if others > 0:
            asks = self._demand.asks
            alone_ns = asks.alone[ask] if asks.paths[ask] == Path.CONTIG else self._usual_ns
            self._free_ns = min(missed.until_ns + alone_ns, _LATEST_NS)
            if missed.until_ns > self._now:
                if len(self._waiting) == others:
                    self._served()
                self._waiting.append(missed)
                return
        self._contig(missed)

    def _served(self) -> None:
        """The first that waits has the mutex."""
        self._contig(self._waiting.popleft())

    def _pick(self, ask: int, count: int, align: int, start: int) -> int | None:
        """The run that is picked, if it is no hit; else that is the end of it."""
        facts, result = self._demand.facts, self.result
        at = self._chooser.place(self._state, count, align, start)
        pfn = None if at is None else facts.base_pfn + (at << facts.order_per_bit)
        self._do(Pick(count, align, start, pfn))
        if pfn is None:
            result.paths[ask] = Path.FAILED
            return None
        hit = holds(self._state.extents, pfn, count)
        self._do(Fetch(pfn, count, hit))
        if hit:
            result.paths[ask], result.pfns[ask] = Path.HIT, pfn
            return None
        return pfn

    def _contig(self, missed: Missed) -> None:
        facts, result = self._demand.facts, self.result
        _, ask, align, first, count = missed
        tried, assumed = 0, False
        pfn: int | None = first
        while pfn is not None:
            self._flush(ask, pfn, count)
            ret, known = self._answer(ask, pfn, tried)
            if not ret and self._state.owned & bits(pfn - facts.base_pfn, count):
                ret = -model.EBUSY  # a part of a granule was given back, and its bit is clear
            assumed |= not known
            tried += 1
            result.contig += 1
            self._do(Contig(pfn, count, ret))
            if not ret:
                result.paths[ask], result.pfns[ask] = Path.CONTIG, pfn
                break
            self._do(Unpick(pfn, count))
            if ret != -model.EBUSY:
                result.paths[ask] = Path.FAILED
                break
            pfn = self._pick(ask, count, align, next_start(facts, pfn, align))
        result.assumed += assumed

    def _flush(self, ask: int, pfn: int, count: int) -> None:
        if not self._state.extents:
            return
        taken = self._chooser.runs("flush", self._state, pfn, count) or ()
        if taken or "R6" in self._policy.own:
            self.result.flushed[ask] += sum(pages for _, pages in taken)
            self.result.extents[ask] += len(taken)
            self.result.flushes += bool(taken)
            self._take(Flush(taken, (pfn, count)))

    def _take(self, made: Flush | Scan) -> None:
        self._do(made)
        for pfn, pages in made.taken:
            self._do(Give(pfn, pages))

    def _answer(self, ask: int, pfn: int, number: int) -> tuple[int, bool]:
        """What alloc_contig_range() returns, and whether that was recorded."""
        asks = self._demand.asks
        if asks.paths[ask] == Path.CONTIG and asks.pfns[ask] == pfn:
            return 0, True
        for tried, ret in asks.tries.get(ask, ()):
            # An error that is not of the pages would have come at others as well.
            if tried == pfn or ret not in (0, -model.EBUSY):
                return ret, True
        return -model.EBUSY if busy(self._chance, ask, number, self._demand) else 0, False

    def _give(self, ask: int, offset: int, pages: int) -> None:
        while any(missed.ask == ask for missed in self._waiting):
            self._served()  # it was served by now
        if ask == BEFORE:
            pfn = offset
            self._only(pfn, pages)
        elif self.result.pfns[ask]:
            pfn = self.result.pfns[ask] + offset
        else:
            self.result.unreleased += self._demand.asks.paths[ask] != Path.FAILED
            return
        facts = self._demand.facts
        mask = bits(pfn - facts.base_pfn, pages)
        if mask & ~self._state.owned:
            # Given back earlier than here: two allocations were one in the recording.
            for first, length in runs(mask & self._state.owned, facts.base_pfn):
                self._release(first, length)
        else:
            self._release(pfn, pages)

    def _only(self, pfn: int, pages: int) -> None:
        """Of granules that were set when the recording began, only these pages had an owner."""
        facts, order = self._demand.facts, self._demand.facts.order_per_bit
        if order:
            marks = granules(facts, pfn, pages)
            rest = union((first << order, length << order) for first, length in runs(marks))
            rest &= ~bits(pfn - facts.base_pfn, pages)
            self._state = replace(self._state, owned=self._state.owned & ~rest)

    def _release(self, pfn: int, pages: int) -> None:
        if (self._state.batch and self._policy.deferral
                and self._chooser.call("defers", self._state, pfn, pages)):
            self._do(Defer(pfn, pages))
            self.result.deferred += 1
            return
        self._do(Direct(pfn, pages))
        self._do(Unpick(pfn, pages))
        self.result.direct += 1

    def _scan(self, asked: int) -> int:
        """Pages that were given back."""
        taken = self._chooser.runs("reclaim", self._state, asked)
        if taken is None:
            self._do(Scan(asked, None, ()))
            self.result.stopped += 1
            return 0
        pages: int = sum(length for _, length in taken)
        self._take(Scan(asked, pages, taken))
        self.result.scans += bool(pages)
        self.result.scanned_pages += pages
        return pages
