# SPDX-License-Identifier: GPL-2.0
"""The tracks of a Perfetto trace: threads, areas with their counters, losses, the run. Pure.

A track is described when it is first used, and again where its thread has another name by then.
"""

from __future__ import annotations

from collections.abc import Iterable

from cmaobs.events import Record
from cmaobs.export.packets import (
    EXPLICIT,
    CounterDescriptor,
    ProcessDescriptor,
    ThreadDescriptor,
    TracePacket,
    TrackDescriptor,
)
from cmaobs.export.protobuf import message, number, text
from cmaobs.export.sequence import Sequence
from cmaobs.export.words import thread_name
from cmaobs.state import AreaFacts

AREA_COUNTERS = (
    ("defer_count", "pages", "Pages on the deferred list, read without the lock at entry and "
     "return of each operation, and in each reading"),
    ("allocated", "pages", "Pages whose bit is set, in each reading"),
    ("largest clear run", "pages", "Longest run of clear bits, deferred pages included: the "
     "largest request with room, in each reading"),
    ("extents", "extents", "Extents on the deferred list, in each reading"),
    ("batch", "pages", "The area's batch, in each reading"),
)
"""Name, unit and description."""

_THREADS = 1 << 16  # described; then all are described anew
_PROCESS, _THREAD, _AREA, _COUNTER, _LOSS, _RUN = (kind << 56 for kind in range(1, 7))
_PID_MASK = (1 << 22) - 1  # PID_MAX_LIMIT; include/linux/threads.h


class Tracks:
    """Identifiers of tracks; describes them to a sequence."""

    def __init__(self, out: Sequence, areas: Iterable[AreaFacts]) -> None:
        self.areas = {area.index: area for area in areas}
        self._places = {index: place for place, index in enumerate(self.areas)}
        self._out = out
        self._threads: dict[tuple[int, int], bytes] = {}
        self._described: set[int] = set()
        self._losses: dict[str, int] = {}

    def area_name(self, index: int) -> str:
        """The area's name."""
        return self.areas[index].name

    def thread(self, record: Record) -> int:
        """The track of the record's thread."""
        pid, tid = record.tgid & _PID_MASK, record.tid & _PID_MASK
        track = _THREAD | pid << 22 | tid
        if self._threads.get((pid, tid)) != record.comm:
            if len(self._threads) >= _THREADS:
                self._threads.clear()
            self._threads[pid, tid] = record.comm
            self._thread(track, pid, tid, thread_name(record))
        return track

    def _thread(self, track: int, pid: int, tid: int, name: str) -> None:
        # The process's name is that of its first thread; another thread's is not told.
        known = (text(ProcessDescriptor.PROCESS_NAME, name),) if pid == tid else ()
        self._packet(_PROCESS | pid, message(
            TrackDescriptor.PROCESS, number(ProcessDescriptor.PID, pid), *known))
        self._packet(track, number(TrackDescriptor.PARENT_UUID, _PROCESS | pid), message(
            TrackDescriptor.THREAD, number(ThreadDescriptor.PID, pid),
            number(ThreadDescriptor.TID, tid), text(ThreadDescriptor.THREAD_NAME, name)))

    def area(self, index: int) -> int:
        """The track that an area's counters and divergences are under."""
        track = _AREA | self._places[index]
        if track not in self._described:
            area = self.areas[index]
            self._describe(
                track, text(TrackDescriptor.NAME, f"CMA area {area.name}"),
                number(TrackDescriptor.CHILD_ORDERING, EXPLICIT),
                text(TrackDescriptor.DESCRIPTION,
                     f"{area.count} pages from pfn {area.base_pfn:#x} on, "
                     f"order_per_bit {area.order_per_bit}"))
        return track

    def counter(self, area: int, name: str) -> int:
        """The track of an area's counter, one of AREA_COUNTERS."""
        rank = next(i for i, counter in enumerate(AREA_COUNTERS) if counter[0] == name)
        track = _COUNTER | self._places[area] << 8 | rank
        if track not in self._described:
            self._describe(
                track, number(TrackDescriptor.PARENT_UUID, self.area(area)),
                text(TrackDescriptor.NAME, name),
                number(TrackDescriptor.SIBLING_ORDER_RANK, rank),
                text(TrackDescriptor.DESCRIPTION, AREA_COUNTERS[rank][2]),
                message(TrackDescriptor.COUNTER,
                        text(CounterDescriptor.UNIT_NAME, AREA_COUNTERS[rank][1])))
        return track

    def loss(self, kind: str) -> int:
        """The track that counts losses of a kind."""
        track = _LOSS | self._losses.setdefault(kind, len(self._losses))
        if track not in self._described:
            self._describe(track, number(TrackDescriptor.PARENT_UUID, self.run()),
                           text(TrackDescriptor.NAME, f"lost: {kind}"),
                           message(TrackDescriptor.COUNTER,
                                   text(CounterDescriptor.UNIT_NAME, "lost")))
        return track

    def run(self) -> int:
        """The track of what concerns the whole recording."""
        if _RUN not in self._described:
            self._describe(_RUN, text(TrackDescriptor.NAME, "cmaobs"))
        return _RUN

    def _describe(self, track: int, *fields: bytes) -> None:
        self._described.add(track)
        self._packet(track, *fields)

    def _packet(self, track: int, *fields: bytes) -> None:
        self._out.packet(message(TracePacket.TRACK_DESCRIPTOR,
                                 number(TrackDescriptor.UUID, track), *fields))
