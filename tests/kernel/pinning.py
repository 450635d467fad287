# SPDX-License-Identifier: GPL-2.0
"""Pages of an area, lent to this process as movable memory; one of them cannot be moved away."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

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


def _block(shared: bool) -> mmap.mmap:
    """Memory that is nowhere yet: anonymous, or of a file on tmpfs that nobody else has."""
    if not shared:
        return mmap.mmap(-1, _STEP, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    file = os.memfd_create("lent")
    try:
        os.ftruncate(file, _STEP)
        return mmap.mmap(file, _STEP, mmap.MAP_SHARED)
    finally:
        os.close(file)


@contextlib.contextmanager
def lent(base_pfn: int, count: int, least: int = 1,
         shared: bool = False) -> Iterator[list[tuple[int, int]]]:
    """Pages of the area, not its first or last 8, that this process has: pfn and address of each.

    Memory is filled until the buddy has lent so many. It is given back at the end. No page cache of
    files is among them at first: reclaiming that would take long as well.
    """
    Path("/proc/sys/vm/drop_caches").write_text("1")
    blocks: list[mmap.mmap] = []
    found: list[tuple[int, int]] = []
    try:
        while len(found) < least:
            assert _available() > _LEAVE, f"the buddy lends {len(found)} pages of the area"
            block = _block(shared)
            blocks.append(block)
            for offset in range(0, _STEP, mmap.PAGESIZE):
                block[offset] = 1
            address = ctypes.addressof(ctypes.c_char.from_buffer(block))
            found += [(pfn, address + index * mmap.PAGESIZE)
                      for index, pfn in enumerate(_pfns(address, _STEP))
                      if base_pfn + 8 < pfn < base_pfn + count - 8]
        yield sorted(found)
    finally:
        blocks.clear()


@contextlib.contextmanager
def pinned_page(base_pfn: int, count: int, shared: bool = False) -> Iterator[int]:
    """The pfn of a page in the area that a pipe refers to: one reference more than migration takes.

    shared: it is in the page cache of a file on tmpfs, else it is anonymous.
    """
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        with lent(base_pfn, count, shared=shared) as found:
            pfn, page = found[0]
            vector = _Iovec(page, mmap.PAGESIZE)
            done = libc.vmsplice(writer, ctypes.byref(vector), 1, 0)
            assert done == mmap.PAGESIZE, os.strerror(ctypes.get_errno())
            yield pfn
    finally:
        os.close(reader)
        os.close(writer)
