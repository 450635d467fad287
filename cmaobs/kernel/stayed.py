# SPDX-License-Identifier: GPL-2.0
"""The pages on which alloc_contig_range() failed, read as soon as their records arrive.

What a page is used for: /proc/kpageflags, /proc/kpagecount and page_owner; how many references it
has: its struct page, where that can be found. All of it may have changed since the call.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from cmaobs import wire
from cmaobs.errors import KernelReadError
from cmaobs.events import NO_AREA, RECORD, Record
from cmaobs.kernel import held, page_flags, page_owner
from cmaobs.kernel.areas import AreaReader
from cmaobs.state import Stayed

COUNTS = "proc/kpagecount"
_BUSY = wire.offset("cmaobs_record", "busy") // 4
_STRIDE = RECORD.size // 4
_AT_ONCE = 16  # pages of one batch of records
_MOST = 64  # of one reading
_FRAMES = 6

# include/uapi/linux/kernel-page-flags.h and include/linux/kernel-page-flags.h, by bit.
NAMES = {
    0: "locked", 1: "error", 2: "referenced", 3: "uptodate", 4: "dirty", 5: "lru", 6: "active",
    7: "slab", 8: "writeback", 9: "reclaim", 10: "buddy", 11: "mmap", 12: "anon", 13: "swapcache",
    14: "swapbacked", 15: "compound_head", 16: "compound_tail", 17: "huge", 18: "unevictable",
    19: "hwpoison", 20: "nopage", 21: "ksm", 22: "thp", 23: "offline", 24: "zero_page",
    25: "idle", 26: "pgtable", 32: "reserved", 33: "mlocked", 35: "private", 36: "private_2"}


class StayedPages:
    """Reads at most 64 pages between two readings, the latest of each batch first."""

    def __init__(self, reader: AreaReader, vmemmap: int, page: Mapping[str, int],
                 root: str) -> None:
        """vmemmap: address of the struct page of pfn 0, or 0. page: its layout, as Facts has it."""
        self._reader, self._vmemmap, self._root = reader, vmemmap, root
        self._size, self._count = page[""], page.get("_refcount")
        self._found: list[Stayed] = []

    def note(self, data: bytes) -> None:
        """Records have arrived: read the pages that they name."""
        if not data or not any(memoryview(data).cast("I")[_BUSY::_STRIDE]):
            return
        pfns: dict[int, None] = {}
        for values in reversed(list(RECORD.iter_unpack(data))):
            one = Record._make(values)
            if one.busy and one.area != NO_AREA:
                pfns.setdefault(one.pfn + one.busy - 1)
        for pfn in list(pfns)[:min(_AT_ONCE, _MOST - len(self._found))]:
            self._found.append(self._read(pfn))

    def fresh(self) -> tuple[Stayed, ...]:
        """The pages read since the call before."""
        found, self._found = tuple(self._found), []
        return found

    def _read(self, pfn: int) -> Stayed:
        at_ns = time.monotonic_ns()
        flags = _word(self._root, page_flags.FILE, pfn)
        names = None if flags is None else tuple(
            name for bit, name in NAMES.items() if flags >> bit & 1)
        return Stayed(pfn, at_ns, names, _word(self._root, COUNTS, pfn),
                      self._references(pfn), page_owner.holder(pfn, self._root, _FRAMES))

    def _references(self, pfn: int) -> int | None:
        if not self._vmemmap or self._count is None:
            return None
        try:
            raw = self._reader.peek(self._vmemmap + pfn * self._size + self._count, 4)
        except KernelReadError:
            return None
        return max(int(struct.unpack("=i", raw)[0]), 0)


def _word(root: str, name: str, pfn: int) -> int | None:
    """The 64-bit number of a page in a file of /proc that has one for each."""
    try:
        data = held.read_at(Path(root) / name, 8, pfn * 8)
    except OSError:
        return None
    return int(struct.unpack("=Q", data)[0]) if len(data) == 8 else None
