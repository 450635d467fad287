# SPDX-License-Identifier: GPL-2.0
"""A page of an area, lent to this process as movable memory, that cannot be moved away."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
from collections.abc import Iterator

_STEP = 8 << 20
_LEAVE = 96 << 20  # bytes of MemAvailable: migration needs somewhere to go


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _available() -> int:
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file
                    if line.startswith("MemAvailable"))


def _pfns(address: int, length: int) -> tuple[int, ...]:
    """The pfn of each page, 0 where there is none; Documentation/admin-guide/mm/pagemap.rst."""
    pages = length // mmap.PAGESIZE
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        raw = os.pread(file.fileno(), pages * 8, address // mmap.PAGESIZE * 8)
    return tuple(entry & ((1 << 55) - 1) for entry in struct.unpack(f"={pages}Q", raw))


@contextlib.contextmanager
def pinned_page(base_pfn: int, count: int) -> Iterator[int]:
    """The pfn of a page in the area, not its first or last 8, that a pipe refers to.

    Anonymous memory is filled until the buddy lends pages of the area; a
    vmsplice'd page has a reference more than migration expects.
    """
    blocks: list[mmap.mmap] = []
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        found = None
        while found is None:
            assert _available() > _LEAVE, "the buddy lends no page of the area"
            block = mmap.mmap(-1, _STEP, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            blocks.append(block)
            for offset in range(0, _STEP, mmap.PAGESIZE):
                block[offset] = 1
            address = ctypes.addressof(ctypes.c_char.from_buffer(block))
            inside = [(pfn, address + index * mmap.PAGESIZE)
                      for index, pfn in enumerate(_pfns(address, _STEP))
                      if base_pfn + 8 < pfn < base_pfn + count - 8]
            found = min(inside, default=None)
        pfn, page = found
        vector = _Iovec(page, mmap.PAGESIZE)
        done = libc.vmsplice(writer, ctypes.byref(vector), 1, 0)
        assert done == mmap.PAGESIZE, os.strerror(ctypes.get_errno())
        yield pfn
    finally:
        os.close(reader)
        os.close(writer)
        blocks.clear()
