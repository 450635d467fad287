# SPDX-License-Identifier: GPL-2.0
"""Finds failed allocations in the steps of a source, and gives each a cause. Pure.

A failure is decided once everything that began before its end has arrived. Records are kept for a
few readings, and looked at only where an allocation failed.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping

from cmaobs import wire
from cmaobs.events import RECORD, Kind, Operation, Path, Record, decode
from cmaobs.sanity import record_fault
from cmaobs.state import AreaFacts, Reading, Stayed
from cmaobs.why.bits import Bits, Segment
from cmaobs.why.failure import CAUSES, KEPT, Busy, Failure
from cmaobs.why.judge import judge, needs_bits

_READINGS = 4  # whose records are kept
_HELD_BYTES = 16 << 20  # of records between two readings
_PENDING = 1 << 16  # failures that wait for what overlapped them
_PLACES = 8  # of one failure
_STAYED = 256  # pages, as they were read
_ERRNO = {-12: "ENOMEM", -16: "EBUSY", -4: "EINTR"}
_PATH = wire.offset("cmaobs_record", "path") + (sys.byteorder == "big")
_FAILED = bytes([Path.FAILED])


class Why:
    """Feed the records of each batch, then the reading that follows.

    latest: the last KEPT failures, oldest first; replaced, so that other threads may read it.
    counts: by index of the area and cause, each of CAUSES; what was counted in the kernel and never
    came in a record is unknown.
    """

    def __init__(self, areas: tuple[AreaFacts, ...]) -> None:
        self._areas = {facts.index: facts for facts in areas}
        self._segments: deque[Segment] = deque(maxlen=_READINGS)
        self._open = Segment()
        self._pending: list[Record] = []
        self._stayed: deque[Stayed] = deque(maxlen=_STAYED)
        self._counts = {index: Counter(dict.fromkeys(CAUSES, 0)) for index in self._areas}
        self._found: Counter[int] = Counter()  # and those known to be lost
        self._failed: Mapping[int, int] = {}
        self._clock = 0, 0.0
        self.latest: tuple[Failure, ...] = ()

    @property
    def counts(self) -> Mapping[int, Mapping[str, int]]:
        """A copy."""
        return {index: dict(causes) for index, causes in self._counts.items()}

    def add(self, data: bytes) -> None:
        """Whole structs cmaobs_record, as they came."""
        if not data:
            return
        if _FAILED in data[_PATH::RECORD.size]:  # no other path has this number
            failed = [one for one in decode(data) if one.path == Path.FAILED
                      and one.kind == Kind.ALLOC and one.area in self._areas
                      and not record_fault(one, self._areas)]
            self._found.update(one.area for one in failed)
            self._pending += failed
        segment = self._open
        segment.size += len(data)
        segment.data.append(data)
        if segment.size > _HELD_BYTES:
            segment.data, segment.size, segment.dropped = [], 0, True

    def read(self, reading: Reading, watermark_ns: int) -> None:
        """A reading; watermark_ns: whatever began before has arrived."""
        segment, self._open = self._open, Segment()
        segment.states = {state.facts.index: state for state in reading.states if not state.fault}
        segment.lost = reading.losses.total
        self._segments.append(segment)
        self._stayed.extend(reading.stayed)
        self._clock = reading.time_ns, reading.wall_s
        self._decide(watermark_ns)
        if len(self._pending) > _PENDING:
            self._decide(None)
        for area, failed in self._failed.items():
            lost = failed - self._found[area]
            if lost > 0 and area in self._counts:
                self._counts[area]["unknown"] += lost
                self._found[area] += lost
        self._failed = {area.facts.index: _failures(area.counters) for area in reading.counts}

    def end(self, watermark_ns: int) -> None:
        """Nothing more will come: decide what is left."""
        self._open.lost = self._segments[-1].lost if self._segments else 0
        self._segments.append(self._open)
        self._open = Segment()
        self._decide(watermark_ns)
        self._decide(None)

    def _decide(self, watermark_ns: int | None) -> None:
        """Those that ended before the watermark; without one, all."""
        ready = [one for one in self._pending if watermark_ns is None or one.end_ns < watermark_ns]
        if not ready:
            return
        self._pending = self._pending[len(ready):] if watermark_ns is None else [
            one for one in self._pending if one.end_ns >= watermark_ns]
        bits = Bits(self._areas, self._segments, ready, complete=watermark_ns is not None)
        found = [self._failure(one, bits) for one in ready]
        self.latest = (*self.latest, *found)[-KEPT:]

    def _failure(self, record: Record, bits: Bits) -> Failure:
        facts = self._areas[record.area]
        operation = Operation(record, bits.calls(record))
        needed = needs_bits(facts, operation)
        found = judge(facts, operation, bits.clear(record) if needed else "")
        self._counts[record.area][found.cause] += 1
        at_ns, at_s = self._clock
        tried = [call for call in operation.calls if call.kind == Kind.CONTIG and call.ret]
        return Failure(
            at_s - (at_ns - record.end_ns) / 1e9, facts.name, record.count,
            _ERRNO.get(record.ret, str(record.ret)),
            record.comm.rstrip(b"\0").decode("utf-8", "replace"), record.tgid,
            (record.end_ns - record.start_ns) / 1e9, found.cause, found.told, record.align,
            record.n_contig, found.clear_pages, found.largest_run_pages,
            tuple(map(self._busy, tried[-_PLACES:])))

    def _busy(self, call: Record) -> Busy:
        """A call that failed, with the page that stayed as it was read soonest after."""
        if not call.busy or call.ret != -16:
            return Busy(call.pfn, call.count)
        stayed = call.pfn + call.busy - 1
        page = next((one for one in self._stayed
                     if one.pfn == stayed and one.at_ns >= call.end_ns), None)
        return Busy(call.pfn, call.count, stayed,
                    None if page is None else (page.at_ns - call.end_ns) / 1e9, page)


def _failures(counters: Mapping[str, int]) -> int:
    return sum(counters.get(f"allocs_{name}", 0) for name in ("enomem", "ebusy", "eintr", "other"))

