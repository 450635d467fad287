# SPDX-License-Identifier: GPL-2.0
"""Which values batch may have had during an operation.

It is written by operations of its own, and read at the return of every other.
"""

from __future__ import annotations

from cmaobs.crosscheck.frame import Frame
from cmaobs.crosscheck.plan import Flight
from cmaobs.events import Kind


class Batch:
    """value: None where it is not known. probed: whether every write comes as an operation."""

    def __init__(self) -> None:
        self.value: int | None = None
        self.probed = True
        self._writes: list[Flight] = []

    def begin(self, frame: Frame, others: list[Frame]) -> None:
        """An operation begins while others are in flight: note what batch may be."""
        record = frame.flight.operation.record
        frame.batches = None if self.value is None else {self.value}
        if record.kind == Kind.BATCH:
            self._writes.append(frame.flight)
            if not record.ret:
                for other in others:
                    if other.batches is not None:
                        other.batches.add(record.count)
        if frame.batches is not None:
            frame.batches.update(write.operation.record.count for write in self._writes
                                 if not write.operation.record.ret)

    def end(self, frame: Frame) -> None:
        """The operation ends: what it read at return counts where no write is in flight."""
        record = frame.flight.operation.record
        if record.kind == Kind.BATCH:
            self._writes.remove(frame.flight)
            self.value = None if self._writes else record.batch
        elif (frame.batches is not None and record.batch not in frame.batches
              and not frame.flight.blind):
            self.probed = False  # it is written by means that no probe sees
        elif self.value is None and not self._writes:
            self.value = record.batch
        if not self.probed:
            self.value = frame.batches = None
