# SPDX-License-Identifier: GPL-2.0
"""From records to operations: joins calls to the operation they were made in.

Records come in the order of return, so the calls of an operation come before
it, with its start as op_ns and its tid. Records of different CPUs may be
swapped, so a call may also come shortly after. Pure; memory is bounded by
Limits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cmaobs.events import NO_AREA, STALE, Kind, Operation, Record

_CALLS = (Kind.CONTIG, Kind.FREE)


class Gap(NamedTuple):
    """Something was lost. at_ns: what was lost had ended by then. area None: any."""

    reason: str
    at_ns: int
    area: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """calls: kept while their operation is awaited. operations: kept while calls are."""

    calls: int = 65536
    operations: int = 4096


class History:
    """Joins a stream of records.

    dropped: calls thrown away since no operation claimed them. What was never
    sent is told by readings, behind which cmaobs.observe has everything judged.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._calls: OrderedDict[tuple[int, int], list[Record]] = OrderedDict()
        self._waiting: OrderedDict[tuple[int, int], Record] = OrderedDict()
        self._held = 0
        self.dropped = 0

    @property
    def idle(self) -> bool:
        """Whether no call waits for its operation, and no operation for its calls."""
        return not self._calls and not self._waiting

    def feed(self, records: Iterable[Record]) -> Iterator[Operation | Gap]:
        """Operations that became whole, and gaps where the stream shows one."""
        for record in records:
            if record.flags & STALE:
                yield Gap("an operation's return was not seen", record.end_ns, None)
            if record.kind in _CALLS:
                yield from self._call(record)
            else:
                yield from self._operation(record)

    def settle(self, watermark_ns: int) -> Iterator[Operation | Gap]:
        """Operations that began before watermark_ns and whose calls did not come.

        Their records are all in, so what is missing was lost.
        """
        for key, record in list(self._waiting.items()):
            if record.start_ns < watermark_ns:
                yield self._finish(key)
        for key in [key for key in self._calls if key[1] < watermark_ns]:
            yield self._orphans(key)

    def _call(self, record: Record) -> Iterator[Operation | Gap]:
        if not record.op_ns:
            yield Operation(record)
            return
        key = (record.tid, record.op_ns)
        self._calls.setdefault(key, []).append(record)
        self._held += 1
        if key in self._waiting and self._whole(key, self._waiting[key]):
            yield self._finish(key)
        elif self._held > self._limits.calls:
            yield self._orphans(next(iter(self._calls)))

    def _operation(self, record: Record) -> Iterator[Operation | Gap]:
        if not record.n_contig and not record.n_free:
            yield Operation(record)
            return
        key = (record.tid, record.start_ns)
        self._waiting[key] = record
        if self._whole(key, record):
            yield self._finish(key)
        elif len(self._waiting) > self._limits.operations:
            yield self._finish(next(iter(self._waiting)))

    def _whole(self, key: tuple[int, int], record: Record) -> bool:
        return len(self._calls.get(key, ())) >= record.n_contig + record.n_free

    def _finish(self, key: tuple[int, int]) -> Operation:
        record = self._waiting.pop(key)
        calls = self._calls.pop(key, [])
        self._held -= len(calls)
        return Operation(record, tuple(sorted(calls, key=lambda call: call.end_ns)))

    def _orphans(self, key: tuple[int, int]) -> Gap:
        calls = self._calls.pop(key)
        self._held -= len(calls)
        self.dropped += len(calls)
        area = calls[-1].area
        return Gap("an operation's record was not seen", calls[-1].end_ns,
                   None if area == NO_AREA else area)
