# SPDX-License-Identifier: GPL-2.0
"""The one place where a source is stepped: live, recorded and demo alike.

The cross-check takes raw records where it can; others are joined to operations
here. Either way they are counted as they come, but judged only at the next
reading, whose losses say whether any is missing:
so that a lost release never makes the allocation after it look like a fault.
This asks of a source that a reading's losses are read after its states.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterator

from cmaobs import memory
from cmaobs.clock import Clock
from cmaobs.errors import CmaobsError
from cmaobs.events import RECORD, Operation, Record, decode
from cmaobs.history import Gap, History
from cmaobs.phases import Slowest
from cmaobs.sanity import record_fault, state_fault
from cmaobs.source import Batch, Finishes, Source
from cmaobs.state import Reading
from cmaobs.takers import Checks, Keeps, Records
from cmaobs.tally import Tally
from cmaobs.unseen import Unseen
from cmaobs.verdict import Outcome, Verdict
from cmaobs.view import View
from cmaobs.who import Follower
from cmaobs.why import Why

_HELD = 32_768  # operations between two readings
_SLICE = 4096 * RECORD.size  # bytes of records that are decoded together


class Observer:
    """Steps a source, feeding the cross-check, the tally and a recording.

    view: what is known now; frozen, replaced at every step, so that other
    threads may read it. checker None: counts and areas only. keeper: keeps evidence of divergences.
    follow: also find out who holds which pages.
    """

    def __init__(self, source: Source, checker: Checks | None = None,
                 writer: Records | None = None, keeper: Keeps | None = None,
                 follow: bool = False) -> None:
        self._source = source
        self._checker = checker
        self._keeper = keeper
        self._follower = Follower(source.areas) if follow else None
        self._why = Why(source.areas)
        self._slowest = Slowest(source.areas)
        self._writer = writer
        self._history = History()
        self._clock = Clock()
        self._tally = Tally(checker.counts) if checker is not None else Tally()
        self._areas = {area.index: area for area in source.areas}
        self._operations: list[Operation] = []
        self._gaps: list[Gap] = []
        self._watermark_ns = 0
        self._unjudged = self._records = self._readings = self._impossible = 0
        self._given_back = 0  # records by then
        self._first_impossible = ""
        self._faulted: Counter[str] = Counter()
        self._losses: dict[str, int] = {}
        self._unseen = Unseen(source.identity.get("unseen", ""))
        self.view = View(source.identity, source.areas)

    def steps(self, enough: Callable[[], bool] = lambda: False) -> Iterator[Batch | Reading]:
        """Each step of the source, once everything here has had it.

        Once enough() is true, only what the source needs to finish is left.
        Raises what the source raises; the view then says why.
        """
        memory.steady()
        try:
            for step in self._source.steps():
                yield self._take(step)
                if enough():
                    break
            if isinstance(self._source, Finishes):
                yield from map(self._take, self._source.finish())
            self._end()
        except CmaobsError as error:
            self.view = dataclasses.replace(self.view, failure=error.message)
            raise
        finally:
            self.view = dataclasses.replace(self.view, warnings=self._warnings())

    def _warnings(self) -> tuple[str, ...]:
        return (*getattr(self._source, "warnings", ()),
                *getattr(self._writer, "warnings", ()),
                *(self._keeper.warnings if self._keeper else ()))

    def _take(self, step: Batch | Reading) -> Batch | Reading:
        if self._writer is not None:
            self._writer.add(step)
        if self._keeper is not None:
            self._keeper.add(step)
        if isinstance(step, Batch):
            self._batch(step)
        else:
            self._reading(step)
        return step

    def _end(self) -> None:
        if self._follower is not None:
            self._follower.end(self._watermark_ns)
            self.view = dataclasses.replace(self.view, holders=self._follower.holders)
        self._why.end(self._watermark_ns)
        self.view = dataclasses.replace(self.view, failures=self._why.latest,
                                        causes=self._why.counts)
        # A watermark may stand behind the last reading; records may too, but
        # no reading says whether they are all.
        if self._checker is not None and not self._operations and not self._gaps:
            self._checker.advance(self._watermark_ns)
            self._checker.end()
            if self._keeper is not None and self.view.reading is not None:
                self._keeper.told(self._checker.verdict(), self.view.reading)
            self.view = dataclasses.replace(self.view, verdict=self._verdict(self.view.reading))

    def _batch(self, batch: Batch) -> None:
        count = len(batch.data) // RECORD.size
        self._records += count
        self._unjudged += count
        if self._follower is not None:
            self._follower.add(batch.data)
        self._why.add(batch.data)
        self._slowest.add(batch.phased)
        if self._clock.went_back(batch.data):
            self._gaps.append(Gap("the clock went back", self._clock.latest_ns, None))
        if not self._feed(batch.data):
            self._join(batch.data)
        if batch.watermark_ns > self._watermark_ns:
            self._watermark_ns = batch.watermark_ns
            self._tally.arrived(batch.watermark_ns)
            self._hold(self._history.settle(batch.watermark_ns))
        self.view = dataclasses.replace(self.view, records=self._records,
                                        unjudged=self._unjudged, tallied=self._tally.result)

    def _feed(self, data: bytes) -> bool:
        return self._checker is not None and self._history.idle and self._checker.feed(data)

    def _join(self, data: bytes) -> None:
        if self._checker is not None:
            self._hold(self._history.feed(decode(self._checker.calls())))
        for at in range(0, len(data), _SLICE):
            records = list(decode(data[at:at + _SLICE]))
            self._tally.add(records)
            possible = filter(self._possible, records)
            if self._checker is None:
                deque(possible, maxlen=0)
            else:
                self._hold(self._history.feed(possible))

    def _possible(self, record: Record) -> bool:
        fault = record_fault(record, self._areas)
        if fault:
            self._impossible += 1
            self._first_impossible = self._first_impossible or fault
        return not fault

    def _hold(self, items: Iterator[Operation | Gap]) -> None:
        for item in items:
            if isinstance(item, Gap):
                self._gaps.append(item)
            elif len(self._operations) < _HELD:
                self._operations.append(item)
            else:
                self._gaps = [Gap("too many operations between two readings",
                                  item.record.end_ns, None)]

    def _reading(self, reading: Reading) -> None:
        reading = dataclasses.replace(reading, states=tuple(
            dataclasses.replace(state, fault=state_fault(state)) for state in reading.states))
        self._tally.read(reading)
        self._readings += 1
        self._faulted.update(state.facts.name for state in reading.states if state.fault)
        grown = {kind: count - self._losses.get(kind, 0)
                 for kind, count in reading.losses.counts.items()
                 if count > self._losses.get(kind, 0)}
        self._losses = dict(reading.losses.counts)
        if self._impossible > self.view.impossible:
            self._gaps.append(Gap("impossible records", reading.time_ns, None))
        self._gaps += self._unseen.gaps(reading)
        if grown:
            what = ", ".join(f"{kind} {count}" for kind, count in grown.items())
            self._gaps.append(Gap(f"lost: {what}", reading.time_ns, None))
        if self._checker is not None:
            self._judge(self._checker, reading)
            if self._keeper is not None:
                self._keeper.told(self._checker.verdict(), reading)
        if self._follower is not None:
            self._follower.read(reading, self._watermark_ns)
        self._why.read(reading, self._watermark_ns)
        self._operations, self._gaps, self._unjudged = [], [], 0
        if self._records - self._given_back >= memory.EVERY:
            self._given_back = self._records
            memory.give_back()
        self.view = dataclasses.replace(
            self.view, reading=reading, verdict=self._verdict(reading), tallied=self._tally.result,
            stacks={**self.view.stacks, **reading.stacks} if reading.stacks else self.view.stacks,
            warnings=self._warnings(), unjudged=0, readings=self._readings,
            holders=self._follower.holders if self._follower else None,
            buffers=reading.buffers or self.view.buffers, failures=self._why.latest,
            causes=self._why.counts, slowest=self._slowest.found,
            faulted=dict(self._faulted), impossible=self._impossible,
            first_impossible=self._first_impossible)

    def _judge(self, checker: Checks, reading: Reading) -> None:
        # Gaps first: what is missing may have been at any time since the
        # reading before, and the operations must be judged with that in mind.
        for gap in self._gaps:
            checker.gap(gap.reason, gap.at_ns, gap.area)
        for operation in self._operations:
            checker.push(operation)
        checker.advance(self._watermark_ns)
        for state in reading.states:
            checker.observe(state)

    def _verdict(self, latest: Reading | None) -> Verdict | None:
        if self._checker is None:
            return None
        verdict = self._checker.verdict()
        if self._keeper is not None:
            verdict = self._keeper.named(verdict)
        tallied = self._tally.result
        reasons = []
        if tallied.mismatched:
            reasons.append(f"counts made in the kernel and records differ in {tallied.mismatched} "
                           f"readings: {tallied.mismatches[0]}")
        if latest is not None and "records" in latest.withheld and latest.withheld["records"].now:
            reasons.append("records are withheld: there are more operations a second than "
                           "--max-rate")
        if not reasons:
            return verdict
        outcome = Outcome.UNKNOWN if verdict.outcome is Outcome.AGREE else verdict.outcome
        return dataclasses.replace(verdict, outcome=outcome, reasons=(*verdict.reasons, *reasons))
