# SPDX-License-Identifier: GPL-2.0
"""Records counted again in user space, and compared with the counts made in the kernel. Pure.

The comparison brackets: what a reading counted must be there in records once
everything that began before the reading is known to have arrived, and what had
arrived by a reading must be in the counts of the next. Where nothing happens
in between, both bounds meet and the counts must be equal. A source reads
counts before losses, and both before the reading's time.
"""

from __future__ import annotations

import operator
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from cmaobs.events import NO_AREA, SHRINK_STOP, Kind, Path, Record
from cmaobs.state import AreaCounts, Reading
from cmaobs.view import Tallied

_ERRNO = {-12: "enomem", -16: "ebusy", -4: "eintr"}
_RELEASE: Mapping[int, str] = {Path.DEFERRED: "deferred", Path.DIRECT: "direct"}
_Wrong = Callable[[int, int], bool]
_SHOWN = 8
_WAITING = 64  # readings that wait for their records


def count(record: Record, into: Counter[str]) -> None:
    """Add a record to counts by the member names of struct cmaobs_counters."""
    kind = record.kind
    if kind == Kind.ALLOC:
        _alloc(record, into)
    elif kind == Kind.RELEASE:
        name = _RELEASE.get(record.path)
        into[f"releases_{name or 'rejected'}"] += 1
        if name:
            into[f"release_pages_{name}"] += record.count
    elif kind == Kind.CONTIG and record.op_ns:
        into["contig_ok" if record.ret == 0 else
             "contig_ebusy" if record.ret == -16 else "contig_error"] += 1
    elif kind == Kind.SCAN:
        into["scans"] += 1
        into["scan_pages_asked"] += record.count
        into["scan_pages_freed"] += record.free_pages
        if record.ret == SHRINK_STOP:
            into["scans_stopped"] += 1
        else:
            into["scan_pages_returned"] += record.ret
    elif kind == Kind.COUNT:
        into["counts"] += 1
    elif kind == Kind.BATCH:
        into["batch_writes"] += 1
        into["batch_pages_freed"] += record.free_pages


def _alloc(record: Record, into: Counter[str]) -> None:
    if record.path == Path.FAILED:
        into[f"allocs_{_ERRNO.get(record.ret, 'other')}"] += 1
        into["alloc_pages_failed"] += record.count
    else:
        name = "hit" if record.path == Path.HIT else "contig"
        into[f"allocs_{name}"] += 1
        into[f"alloc_pages_{name}"] += record.count
    tries = record.n_contig + (record.path == Path.HIT)
    if tries > 1:
        into["allocs_retried"] += 1
        into["alloc_retries"] += tries - 1
    if record.n_free:
        into["flushes"] += 1
        into["flushed_extents"] += record.n_free
        into["flushed_pages"] += record.free_pages


class Tally:
    """Counts records, and holds them against the readings.

    fed: counts of records that were never decoded here, of an area by its index.
    """

    def __init__(self, fed: Callable[[int], Mapping[str, int]] = lambda _: {}) -> None:
        self._fed = fed
        self.result = Tallied()
        self._sums: dict[int, Counter[str]] = {}
        self._before: dict[int, Mapping[str, int]] = {}
        self._waiting: deque[tuple[int, tuple[AreaCounts, ...]]] = deque(maxlen=_WAITING)
        self._lost = False

    def add(self, records: Iterable[Record]) -> None:
        """Count records that arrived."""
        for record in records:
            if record.area != NO_AREA:
                count(record, self._sums.setdefault(record.area, Counter()))

    def arrived(self, watermark_ns: int) -> None:
        """Everything that began before the watermark has arrived."""
        while self._waiting and self._waiting[0][0] <= watermark_ns:
            _, counts = self._waiting.popleft()
            for area in counts:
                self._compare(area, self._counted(area.facts.index), "fewer records than",
                              operator.lt, settles=True)

    def read(self, reading: Reading) -> None:
        """Compare with a reading; from the first loss on nothing is compared any more."""
        if reading.losses.total:
            self._lost = True
            self._waiting.clear()
        if self._lost:
            return
        for area in reading.counts:
            self._compare(area, self._before.get(area.facts.index, {}), "more records than",
                          operator.gt, settles=False)
        self._before = {area.facts.index: self._counted(area.facts.index)
                        for area in reading.counts}
        end = max((reading.time_ns, *(state.end_ns for state in reading.states)))
        self._waiting.append((end, reading.counts))

    def _counted(self, index: int) -> Mapping[str, int]:
        total = Counter(self._fed(index))
        total.update(self._sums.get(index, {}))
        return total

    def _compare(self, area: AreaCounts, tally: Mapping[str, int], phrase: str,
                 wrong: _Wrong, settles: bool) -> None:
        bad = [f"{name} {tally.get(name, 0)} in records, {kernel} in the kernel"
               for name, kernel in area.counters.items() if wrong(tally.get(name, 0), kernel)]
        result = self.result
        exact = settles and all(tally.get(name, 0) == kernel
                                for name, kernel in area.counters.items())
        shown = result.mismatches
        if bad and len(shown) < _SHOWN:
            shown = (*shown, f"area {area.facts.name}: {phrase} counts: {'; '.join(bad[:4])}")
        self.result = Tallied(result.compared + settles, result.exact + exact,
                              result.mismatched + bool(bad), shown)
