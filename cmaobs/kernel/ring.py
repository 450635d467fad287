# SPDX-License-Identifier: GPL-2.0
"""Reading the BPF ring buffer in bulk.

libbpf hands out one record a callback; an observer that lags behind the
kernel cannot afford that in Python. All records have one size, so everything
between the consumer's and the producer's position is copied at once.

Layout: kernel/bpf/ringbuf.c. A writable page with the consumer's position, a
read-only one with the producer's, then the data twice in a row, so that no
record is cut at the end.
"""

from __future__ import annotations

import mmap
import struct
import threading

from cmaobs import lane
from cmaobs.events import RECORD

_HEADER = 8  # BPF_RINGBUF_HDR_SZ: length, and offset of the page
_BUSY, _DISCARD = 0x80, 0x40  # in the length's top byte
_STRIDE = _HEADER + (RECORD.size + 7) // 8 * 8
_POSITION = struct.Struct("=Q")
_HOLD = 16 << 20  # bytes a Pump keeps before it lets the ring fill up


class Ring:
    """The consumer's side of one ring buffer of whole records."""

    def __init__(self, fd: int, size: int) -> None:
        """size: bytes of data, a power of two of pages, as the map was made."""
        page = mmap.PAGESIZE
        self._size = size
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED,
                                   mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        # struct would clear the eight bytes before it sets them, and the kernel, which looks at
        # them at any time, would take the ring for full
        self._consumed = memoryview(self._consumer).cast("Q")
        self._producer = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED,
                                   mmap.PROT_READ, offset=page)
        self._data = memoryview(self._producer)[page:]

    def read(self) -> bytes:
        """Whole structs cmaobs_record that were committed, oldest first."""
        start = self._consumed[0]
        end: int = _POSITION.unpack_from(self._producer)[0]
        offset = start % self._size
        stretch = self._data[offset:offset + end - start]
        if (gathered := lane.gather(stretch)) is not None:
            data, used = gathered
            self._consumed[0] = start + used
            return data
        block = bytes(stretch)
        tops = block[3::_STRIDE]  # little-endian: the top byte of each length
        whole = next((i for i, top in enumerate(tops) if top & _BUSY), len(tops)) \
            if max(tops, default=0) & _BUSY else len(tops)
        self._consumed[0] = start + whole * _STRIDE
        return b"".join(block[i * _STRIDE + _HEADER:i * _STRIDE + _HEADER + RECORD.size]
                        for i in range(whole) if not tops[i] & _DISCARD)

    def close(self) -> None:
        """Unmap."""
        self._data.release()
        self._consumed.release()
        self._producer.close()
        self._consumer.close()


class Pump:
    """Empties a ring from a thread of its own from start() on, while others judge what came before.

    Holds up to 16 MiB; beyond that records stay in the ring, and what finds
    no room there is lost and counted by the probes.
    """

    def __init__(self, ring: Ring, period_s: float) -> None:
        self._ring, self._period_s = ring, period_s
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cmaobs-ring", daemon=True)

    def start(self) -> None:
        """Begin, if it has not: until then nothing but read() empties the ring."""
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            with self._lock:
                if sum(map(len, self._held)) < _HOLD:
                    self._held.append(self._ring.read())

    def read(self) -> bytes:
        """Everything committed since the last call, oldest first."""
        with self._lock:
            data = b"".join((*self._held, self._ring.read()))
            self._held.clear()
        return data

    def close(self) -> None:
        """End the thread and unmap the ring."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._ring.close()
