# SPDX-License-Identifier: GPL-2.0
"""What happened in an area, in the order of time.

Every operation gives events: its frames and steps begin and end. Where a
beginning and an end fall on the same nanosecond the beginning comes first, so
that they count as overlapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from cmaobs.crosscheck.plan import Flight

Event = tuple[int, int, int, Any]


class What(IntEnum):
    """Kinds of events, in the order in which those of one instant are handled."""

    SNAPSHOT = 0
    BLIND = 1
    GLANCE = 2
    FRAME = 3
    STEP = 4
    STEP_END = 5
    FRAME_END = 6
    GLANCE_END = 7


class Agenda:
    """Events that were not handled yet."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._sequence = 0

    def put(self, time: int, what: What, item: object) -> None:
        """An event at that time."""
        self._sequence += 1
        self._events.append((time, what, self._sequence, item))

    def flight(self, flight: Flight) -> None:
        """All that an operation gives."""
        record = flight.operation.record
        self.put(record.start_ns, What.FRAME, flight.whole)
        for frame in flight.frames:
            self.put(frame.opens, What.FRAME, frame)
            self.put(frame.closes, What.FRAME_END, frame)
        for step in flight.steps:
            self.put(step.opens, What.STEP, step)
            self.put(max(step.opens, step.closes), What.STEP_END, step)
        self.put(record.end_ns, What.FRAME_END, flight.whole)

    @property
    def next_ns(self) -> int | None:
        """When the next event is."""
        return min(self._events)[0] if self._events else None

    def until(self, watermark: int) -> Iterator[tuple[int, int, Any]]:
        """Time, kind and item of each event before watermark; what is put meanwhile comes later."""
        self._events.sort()
        events, done = self._events, 0
        self._events = []
        for time, what, _, item in events:
            if time >= watermark:
                break
            done += 1
            yield time, what, item
        self._events += events[done:]
