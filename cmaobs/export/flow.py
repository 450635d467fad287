# SPDX-License-Identifier: GPL-2.0
"""From the steps of a recording to whole operations and readings, in bounded memory. Pure.

Records wait for the reading after them, which names their stacks, and are then joined to
operations. What cannot be is left out and counted, as it is for the cross-check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from cmaobs.events import Operation, Record, decode
from cmaobs.history import Gap, History
from cmaobs.sanity import record_fault, state_fault
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading
from cmaobs.view import View

_HELD_BYTES = 16 << 20  # of records that wait for a reading
_TIMES = 1 << 63


class Sink(Protocol):
    """What a format makes of it all; stacks are by the numbers that records have."""

    def reading(self, reading: Reading) -> None:
        """A reading; faults of its states say which cannot be used."""

    def operation(self, operation: Operation, stacks: Mapping[int, tuple[str, ...]]) -> None:
        """An operation, or a call that was made outside of any."""

    def end(self, view: View) -> None:
        """All was said; the view has the verdict."""


class Flow:
    """Feeds a sink. impossible: records and readings left out since they cannot be."""

    def __init__(self, areas: Iterable[AreaFacts], sink: Sink) -> None:
        self.impossible = 0
        self._sink = sink
        self._areas = {area.index: area for area in areas}
        self._history = History()
        self._held: list[Batch] = []
        self._held_bytes = 0
        self._stacks: dict[int, tuple[str, ...]] = {}

    def add(self, step: Batch | Reading) -> None:
        """A step of the source."""
        if isinstance(step, Batch):
            self._held.append(step)
            self._held_bytes += len(step.data)
            if self._held_bytes > _HELD_BYTES:
                self._release()
            return
        self._stacks.update(step.stacks)
        # The reading goes first: formats may need its clocks, and all have their times.
        if step.time_ns < _TIMES:
            self._sink.reading(replace(step, states=tuple(
                replace(state, fault=state_fault(state)) for state in step.states)))
        else:
            self.impossible += 1
        self._release()

    def end(self, view: View) -> None:
        """There is no further step: operations whose calls are missing are taken as they are."""
        self._release()
        self._pass(self._history.settle(_TIMES))
        self._sink.end(view)

    def _release(self) -> None:
        for batch in self._held:
            self._pass(self._history.feed(filter(self._possible, decode(batch.data))))
            self._pass(self._history.settle(batch.watermark_ns))
        self._held.clear()
        self._held_bytes = 0

    def _pass(self, items: Iterator[Operation | Gap]) -> None:
        for item in items:
            if isinstance(item, Operation):
                self._sink.operation(item, self._stacks)

    def _possible(self, record: Record) -> bool:
        fault = record_fault(record, self._areas)
        self.impossible += bool(fault)
        return not fault
