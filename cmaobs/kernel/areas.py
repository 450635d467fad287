# SPDX-License-Identifier: GPL-2.0
"""Reading areas from kernel memory, through programs that only read.

Every walk is bounded and bracketed by the counts of begun and ended
operations (probes/snapshot.h). What cannot be read in one piece is said so.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from cmaobs import wire
from cmaobs.errors import KernelReadError
from cmaobs.kernel.libbpf import Maps
from cmaobs.kernel.loader import Loaded
from cmaobs.kernel.plan import Plan, Ranges
from cmaobs.sanity import areas_fault
from cmaobs.state import AreaFacts, AreaState, Run

_WORDS = wire.constant("CMAOBS_SNAP_WORDS")
_SNAP_SIZE = wire.size("cmaobs_snap")
_RUNNING = wire.constant("CMAOBS_RUNNING_FRAMES")
_EXTENT = wire.Layout("cmaobs_extent")
_EXTENTS = wire.offset("cmaobs_snap", "extent")
_BITMAP = wire.offset("cmaobs_snap", "bitmap")
_TRIES = 4
_MAX_CALLS = 1024  # a list of a million extents, or one that a defect made endless
SECTION_MAP_MASK = 0xFFFFFFFFFFFFFFC0  # flags are below; include/linux/mmzone.h


class _Head(NamedTuple):
    """struct cmaobs_snap up to its arrays; the pairs are of before and after the reading."""

    begun: int
    begun_after: int
    ended: int
    ended_after: int
    defer_count: int
    defer_count_after: int
    batch: int
    shrinker_batch: int
    policy: int
    succeeded: int
    failed: int
    start_ns: int
    end_ns: int
    next: int
    fault: int
    extents: int

    @classmethod
    def of(cls, raw: bytes) -> _Head:
        """The head of a whole struct."""
        return cls._make(_HEAD.unpack_from(raw))


_HEAD = struct.Struct("=14Q2I")
if _HEAD.size != _EXTENTS:
    raise ImportError("cmaobs/kernel/areas.py does not match struct cmaobs_snap of probes/wire.h")


class AreaReader:
    """Reads every struct cma of the kernel."""

    def __init__(self, loaded: Loaded, plan: Plan, maps: Maps) -> None:
        self._loaded, self._plan, self._maps = loaded, plan, maps
        count = struct.unpack("=I", self.peek(plan.cma_area_count, 4))[0]
        if count > plan.max_areas:
            raise KernelReadError(f"cma_area_count is {count}, cma_areas[] has {plan.max_areas}",
                                  "report this kernel: its layout was misread")
        self._places: dict[int, list[tuple[int, Run]]] = {}
        self.areas = tuple(self._facts(index) for index in range(count))
        if fault := areas_fault(self.areas):
            raise KernelReadError(fault, "report this kernel: its layout was misread, or its areas "
                                  "are larger than what cmaobs was made for")

    def peek(self, address: int, size: int) -> bytes:
        """Kernel memory; at most 32 KiB.

        Raises KernelReadError where the address cannot be read.
        """
        self._maps.run(self._loaded.programs["peek"], address, size)
        raw = self._raw()
        if _Head.of(raw).fault:
            raise KernelReadError("kernel memory could not be read where a symbol points",
                                  "report this kernel: its layout was misread")
        return raw[_BITMAP:_BITMAP + size]

    def running(self) -> dict[int, tuple[int, ...]]:
        """The kernel stack of what runs on each CPU, innermost address first, by thread."""
        found = {}
        for cpu in range(self._maps.cpus):
            try:
                self._maps.run(self._loaded.programs["running"], cpu=cpu)
            except KernelReadError:
                continue  # offline
            raw = self._raw()[_BITMAP:]
            thread, size = struct.unpack_from("=Qq", raw)
            if 0 < size < _RUNNING * 8:  # else cut short
                found[thread] = struct.unpack_from(f"={size // 8}Q", raw, 16)
        return found

    def vmemmap(self) -> int:
        """The address of the struct page of pfn 0, or 0 if it cannot be told.

        Sparse memory keeps it, with flags, in every present section
        (sparse_encode_mem_map in mm/sparse.c). With a vmemmap all agree;
        without, each section has struct pages elsewhere.
        """
        layout = self._plan.structs.get("mem_section")
        if not layout or not self._plan.mem_section:
            return 0
        roots = struct.unpack("=Q", self.peek(self._plan.mem_section, 8))[0]
        if not roots:
            return 0
        found: set[int] = set()
        for root in filter(None, struct.unpack("=64Q", self.peek(roots, 512))):
            block = self.peek(root, 4096 // layout[""] * layout[""])
            found |= {struct.unpack_from("=Q", block, at + layout["section_mem_map"])[0]
                      & SECTION_MAP_MASK for at in range(0, len(block), layout[""])}
        found.discard(0)
        return found.pop() if len(found) == 1 else 0

    def _facts(self, index: int) -> AreaFacts:
        """Also notes where each range of the area is in memory, and its pages."""
        layout, address = self._plan.structs["cma"], self._address(index)
        raw = self.peek(address, layout[""])
        name = raw[layout["name"]:].split(b"\0", 1)[0].decode(errors="replace").strip()
        count, = struct.unpack_from("=Q", raw, layout["count"])
        order, = struct.unpack_from("=I", raw, layout["order_per_bit"])
        found = ranges_of(raw, self._plan.ranges, count)
        self._places[index] = [(address + at, run) for at, run in found]
        runs = tuple(run for _, run in found)
        return AreaFacts(index, name, runs[0][0], count, order, runs if len(runs) > 1 else ())

    def _address(self, index: int) -> int:
        return self._plan.cma_areas + index * self._plan.structs["cma"][""]

    def _raw(self) -> bytes:
        raw = self._maps.lookup(self._loaded.maps["snap"], 0, _SNAP_SIZE)
        if raw is None:
            raise KernelReadError("the snapshot map is gone", "restart the observer")
        return raw

    def read(self, area: AreaFacts) -> AreaState:
        """One area, at rest if it can be had in a few tries."""
        state = self._read_once(area)
        for _ in range(_TRIES):
            if state.at_rest and not state.fault:
                break
            time.sleep(0.001)
            state = self._read_once(area)
        return state

    def _read_once(self, area: AreaFacts) -> AreaState:
        places = self._places[area.index]
        bitmaps = [b"" for _ in places]
        heads: list[_Head] = []
        extents: list[Run] = []
        place = word = node = 0
        fault = ""
        while True:
            address, (_, pages) = places[place]
            words = (_bits(area, pages) + 63) // 64
            self._maps.run(self._loaded.programs["snapshot"], area.index,
                           self._address(area.index), word, node, address)
            raw = self._raw()
            head = _Head.of(raw)
            heads.append(head)
            took = min(words - word, _WORDS)
            if took > 0:
                bitmaps[place] += raw[_BITMAP:_BITMAP + took * 8]
                word += took
            # once the list was walked to its end, later calls are for the bitmaps alone
            if len(heads) == 1 or node:
                listed = raw[_EXTENTS:_EXTENTS + _EXTENT.size * head.extents]
                extents += [(pfn, count) for pfn, count in _EXTENT.iter_unpack(listed)]
                node = head.next
            whole = word >= words
            if whole and place + 1 < len(places):
                place, word, whole = place + 1, 0, False
            if head.fault:
                fault = "an extent or the bitmap could not be read"
            if fault or (whole and not node):
                break
            if len(heads) == _MAX_CALLS:
                fault = "the deferred list does not end"
                break
        allocated = tuple(run for (_, pages), bitmap in zip(places, bitmaps, strict=True)
                          for run in _runs(area, pages, bitmap))
        return self._state(area, allocated, extents, heads, fault)

    def _state(self, area: AreaFacts, allocated: tuple[Run, ...], extents: list[Run],
               heads: list[_Head], fault: str) -> AreaState:
        first, last = heads[0], heads[-1]
        plan = self._plan
        sysfs = "CMA_SUCCEEDED" in plan.defines
        shrinks = not {"CMA_SHRINKER_BATCH", "SHRINKER_BATCH"}.isdisjoint(plan.defines)
        return AreaState(
            facts=area, start_ns=first.start_ns, end_ns=last.end_ns,
            allocated=allocated,
            extents=tuple(extents) if plan.patched else None,
            defer_count=last.defer_count_after if plan.patched else None,
            batch=last.batch if plan.patched else None,
            pages_succeeded=last.succeeded if sysfs else None,
            pages_failed=last.failed if sysfs else None,
            begun=last.begun_after,
            at_rest=first.begun == first.ended == last.begun_after and not fault,
            fault=fault,
            shrinker_batch=last.shrinker_batch if shrinks else None,
            policy=last.policy if "CMA_POLICY" in plan.defines else None)


def ranges_of(raw: bytes, ranges: Ranges, count: int) -> list[tuple[int, Run]]:
    """The ranges of a struct cma of so many pages, ascending: offset in it, and pages.

    An area that could not be set up has no pages, and bitmaps no more (cma_activate_area). Raises
    KernelReadError where this is no struct cma.
    """
    number = 1
    if ranges.number is not None:
        number, = struct.unpack_from("=i", raw, ranges.number)
    if not 1 <= number <= ranges.most:
        raise KernelReadError(f"an area has {number} ranges, with room for {ranges.most}",
                              "report this kernel: its layout was misread")
    found = []
    for at in (ranges.first + place * ranges.size for place in range(number)):
        base, = struct.unpack_from("=Q", raw, at + ranges.base_pfn)
        pages, = struct.unpack_from("=Q", raw, at + ranges.count)
        found.append((at, (base, pages)))
    if not count:
        return [(found[0][0], (found[0][1][0], 0))]
    if sum(pages for _, (_, pages) in found) != count:
        raise KernelReadError(f"an area of {count} pages has ranges of other sizes",
                              "report this kernel: its layout was misread")
    return sorted(found, key=lambda one: one[1])


def _bits(area: AreaFacts, pages: int) -> int:
    return pages >> area.order_per_bit


def _runs(area: AreaFacts, run: Run, bitmap: bytes) -> Iterator[Run]:
    """Runs of pages of a range whose bit is set, from the bitmap's bytes."""
    first, pages = run
    text = bin(int.from_bytes(bitmap, "little") & ((1 << _bits(area, pages)) - 1))[:1:-1]
    position = text.find("1")
    while position >= 0:
        end = text.find("0", position)
        end = len(text) if end < 0 else end
        yield (first + (position << area.order_per_bit), end - position << area.order_per_bit)
        position = text.find("1", end)
