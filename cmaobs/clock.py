# SPDX-License-Identifier: GPL-2.0
"""Whether the clock that records are stamped with goes back. Pure.

Everything that is said of concurrent operations rests on one clock (docs/checking.md). In a guest
whose processors were held up for seconds it went back by 1.6 s. Records of one CPU reach the ring
in the order in which they ended, but for one whose sending was interrupted by an operation, which
has a depth. Those of several CPUs do so nearly, since a program reads the clock and sends at once.
"""

from __future__ import annotations

from cmaobs import lane, wire
from cmaobs.events import RECORD

_END = wire.offset("cmaobs_record", "end_ns") // 8
_CPU = wire.offset("cmaobs_record", "cpu") // 2
_DEPTH = wire.offset("cmaobs_record", "depth")
_SLACK_NS = 100_000_000  # a virtual CPU may be held up between the two


class Clock:
    """latest_ns: the latest end of a record so far."""

    def __init__(self) -> None:
        self.latest_ns = 0
        self._last: dict[int, int] = {}  # by CPU
        self._ends = None if lane.missing() else lane.Ends()

    def went_back(self, data: bytes) -> bool:
        """Whether it did between whole structs cmaobs_record, which came in this order."""
        if self._ends is not None:
            back = self._ends.went_back(data, _SLACK_NS)
            self.latest_ns = self._ends.latest_ns
            return back
        view = memoryview(data)
        ends = view.cast("Q")[_END::RECORD.size // 8].tolist()
        cpus = view.cast("H")[_CPU::RECORD.size // 2].tolist()
        back, last, latest = False, self._last, self.latest_ns
        for end, cpu, depth in zip(ends, cpus, view[_DEPTH::RECORD.size], strict=True):
            if end < last.get(cpu, 0) or end < latest - _SLACK_NS:
                back = True
            if not depth:
                last[cpu] = end
            latest = max(latest, end)
        self.latest_ns = latest
        return back
