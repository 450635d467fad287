# SPDX-License-Identifier: GPL-2.0
"""Operations in flight, as the probes know them: struct cmaobs_thread of each thread."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable, Iterator

from cmaobs import wire
from cmaobs.kernel.libbpf import Maps

_THREAD = wire.size("cmaobs_thread")
_FRAME = wire.Layout("cmaobs_frame")
_THREAD_HEAD = _THREAD - wire.constant("CMAOBS_DEPTH") * _FRAME.size
_SLACK_NS = 50_000_000


class Flight:
    """Looks at the map of threads, where the counters say that there is something to find."""

    def __init__(self, threads: int, maps: Maps, max_threads: int,
                 count: Callable[[], int]) -> None:
        """threads: descriptor of the map. max_threads: its room. count: operations in flight."""
        self._threads, self._maps, self._max_threads = threads, maps, max_threads
        self._count = count
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
        value = self._maps.lookup(self._threads, tid, _THREAD)
        return _depth(value) if value else 0

    def _starts(self) -> Iterator[int]:
        """Start times of the operations in flight, ns."""
        # a key that is deleted meanwhile starts the walk again: bound it
        for tid in itertools.islice(self._maps.keys(self._threads), 2 * self._max_threads):
            value = self._maps.lookup(self._threads, tid, _THREAD)
            if value is None:
                continue
            for level in range(min(_depth(value), wire.constant("CMAOBS_DEPTH"))):
                frame = _FRAME.unpack(value, _THREAD_HEAD + level * _FRAME.size)
                yield frame[0]


def _depth(thread: bytes) -> int:
    """How many operations are nested."""
    return ctypes.c_uint32.from_buffer_copy(thread).value
