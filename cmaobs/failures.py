# SPDX-License-Identifier: GPL-2.0
"""The latest allocations that returned NULL, one by one, found in the steps of a source. Pure."""

from __future__ import annotations

from typing import NamedTuple

from cmaobs.events import Kind, Path, decode
from cmaobs.source import Batch
from cmaobs.state import Reading

KEPT = 20
_HELD_BYTES = 16 << 20  # of records since the last reading
_ERRNO = {-12: "ENOMEM", -16: "EBUSY", -4: "EINTR"}


class Failure(NamedTuple):
    """An allocation that returned NULL: when it ended, what was asked for, and by whom."""

    wall_s: float
    area: str
    pages: int
    errno: str
    comm: str
    pid: int
    duration_s: float


class Failures:
    """latest: the last KEPT, oldest first; replaced, so that other threads may read it.

    Records are only looked at where a reading says that some failed.
    """

    def __init__(self) -> None:
        self.latest: tuple[Failure, ...] = ()
        self._data: list[bytes] = []
        self._bytes = 0
        self._failed = 0

    def add(self, step: Batch | Reading) -> None:
        """The next step; records that are too many for one reading are forgotten."""
        if isinstance(step, Reading):
            self._look(step)
            return
        self._bytes += len(step.data)
        if self._bytes > _HELD_BYTES:
            self._data, self._bytes = [], 0
        if step.data:
            self._data.append(step.data)

    def _look(self, reading: Reading) -> None:
        """Find the failures since the reading before."""
        failed = sum(count for area in reading.counts for name, count in area.counters.items()
                     if name.startswith("allocs_e") or name == "allocs_other")
        if failed != self._failed:
            names = {area.facts.index: area.facts.name for area in reading.counts}
            found = [Failure(reading.wall_s - (reading.time_ns - one.end_ns) / 1e9,
                             names.get(one.area, "?"), one.count,
                             _ERRNO.get(one.ret, str(one.ret)),
                             one.comm.rstrip(b"\0").decode("utf-8", "replace"), one.tgid,
                             (one.end_ns - one.start_ns) / 1e9)
                     for data in self._data for one in decode(data)
                     if one.kind == Kind.ALLOC and one.path == Path.FAILED]
            self.latest = (*self.latest, *found)[-KEPT:]
        self._failed, self._data, self._bytes = failed, [], 0
