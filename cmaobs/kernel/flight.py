# SPDX-License-Identifier: GPL-2.0
"""Operations in flight, as the probes know them: struct cmaobs_thread of each thread."""

from __future__ import annotations

import itertools
import mmap
import struct
import time
from collections.abc import Callable, Iterator

from cmaobs import wire
from cmaobs.kernel.libbpf import Maps

_THREAD = wire.size("cmaobs_thread")
_FRAME = wire.Layout("cmaobs_frame")
_FRAMES = wire.constant("CMAOBS_DEPTH")
_THREAD_HEAD = _THREAD - _FRAMES * _FRAME.size
_HEAD = struct.Struct("=QQQQI")  # depth, task, claims, leaving, tid
_SLACK_NS = 50_000_000


class Slots:
    """The threads that have a slot (probes/slots.h), as memory: looking costs no system call."""

    def __init__(self, fd: int, number: int) -> None:
        """fd: of the map, whose only value has so many."""
        self._bytes = number * _THREAD
        pages = -(-self._bytes // mmap.PAGESIZE)
        self._map = mmap.mmap(fd, pages * mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)

    def threads(self) -> Iterator[tuple[int, bytes]]:
        """Thread, and its struct cmaobs_thread, of those with an operation in flight."""
        depths = self._map[0:self._bytes:_THREAD]  # little-endian: the low byte of each depth
        if depths.count(0) == len(depths):
            return
        for place in itertools.compress(range(0, self._bytes, _THREAD), depths):
            value = self._map[place:place + _THREAD]
            depth, task, _, _, tid = _HEAD.unpack_from(value)
            if depth and task:
                yield tid, value

    def close(self) -> None:
        """Unmap."""
        self._map.close()


class Flight:
    """Looks at the threads, where the counters say that there is something to find."""

    def __init__(self, slots: Slots, threads: int, maps: Maps, max_threads: int,
                 count: Callable[[], int]) -> None:
        """threads: descriptor of the map of those without a slot. max_threads: its room.

        count: operations in flight.
        """
        self._slots, self._threads, self._maps = slots, threads, maps
        self._max_threads, self._count = max_threads, count
        self._watermark_ns = 0

    def advance(self) -> int:
        """A time in ns before which every operation has ended and sent its record.

        An operation is counted as begun before it reads the clock: if none is
        in flight after now was read, all that started before are over. Else
        those in flight are looked up. One that has read the clock but has not
        stored its frame yet would be overlooked; the probe cannot sleep there,
        and _SLACK_NS covers it. Were that ever too short, the cross-check sees
        an operation delivered late and says unknown.
        """
        now = time.monotonic_ns()
        if self._count():
            now = min(now - _SLACK_NS, *self._starts(), now)
        self._watermark_ns = max(self._watermark_ns, now)
        return self._watermark_ns

    def followed(self, tid: int) -> int:
        """Operations in flight that the probes know of a thread."""
        for owner, value in self._slots.threads():
            if owner == tid:
                return _depth(value)
        found = self._maps.lookup(self._threads, tid, _THREAD)
        return _depth(found) if found else 0

    def close(self) -> None:
        """Unmap the slots."""
        self._slots.close()

    def _values(self) -> Iterator[bytes]:
        """struct cmaobs_thread of every thread with an operation in flight, and of more."""
        for _, value in self._slots.threads():
            yield value
        # a key that is deleted meanwhile starts the walk again: bound it
        for tid in itertools.islice(self._maps.keys(self._threads), 2 * self._max_threads):
            if (found := self._maps.lookup(self._threads, tid, _THREAD)) is not None:
                yield found

    def _starts(self) -> Iterator[int]:
        """Start times of the operations in flight, ns."""
        for value in self._values():
            for level in range(min(_depth(value), _FRAMES)):
                yield _FRAME.unpack(value, _THREAD_HEAD + level * _FRAME.size)[0]


def _depth(thread: bytes) -> int:
    """How many operations are nested."""
    depth: int = _HEAD.unpack_from(thread)[0]
    return depth
