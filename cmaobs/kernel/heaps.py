# SPDX-License-Identifier: GPL-2.0
"""Which pages a CMA heap's dma-buf has: read from the kernel's list of dma-bufs.

The list is read without its lock, so that a walk that a change disturbs is seen by its links
and made again. Whether a buffer is a CMA heap's is told by its ops; then its priv is a struct
cma_heap_buffer (drivers/dma-buf/heaps/cma_heap.c), whose pages are one run.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cmaobs.buffers import Buffer
from cmaobs.errors import KernelReadError
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.facts import MEMBERS
from cmaobs.kernel.plan import Plan
from cmaobs.state import AreaFacts, Run, default_area

_TRIES = 4
_MOST = 65536  # buffers: a list that does not end is no list


class _Disturbed(Exception):
    """The list changed while it was walked."""


class HeapReader:
    """Reads the pages of the CMA heaps' buffers."""

    def __init__(self, reader: AreaReader, plan: Plan) -> None:
        self._reader, self._plan = reader, plan
        self._vmemmap = reader.vmemmap()
        structs = plan.structs
        self._can = bool(
            plan.dmabuf_list and plan.cma_heap_ops and self._vmemmap
            and all(set(members) <= structs.get(name, {}).keys()
                    for name, members in MEMBERS.items() if name != "task_struct"))

    def runs(self) -> Mapping[int, Run]:
        """Pages by inode; empty where this kernel does not let them be read."""
        for _ in range(_TRIES if self._can else 0):
            try:
                return self._walk()
            except (_Disturbed, KernelReadError):
                continue
        return {}

    def _walk(self) -> Mapping[int, Run]:
        offsets = self._plan.structs["dma_buf"]
        head = self._plan.dmabuf_list
        before, node = head, self._word(head)
        found: dict[int, Run] = {}
        for _ in range(_MOST):
            if node == head:
                return found
            following, back = struct.unpack("=2Q", self._reader.peek(node, 16))
            if back != before:
                raise _Disturbed
            buffer = node - offsets["list_node"]
            if self._word(buffer + offsets["ops"]) == self._plan.cma_heap_ops:
                self._take(buffer, found)
            before, node = node, following
        raise _Disturbed

    def _take(self, buffer: int, found: dict[int, Run]) -> None:
        structs = self._plan.structs
        file = self._word(buffer + structs["dma_buf"]["file"])
        inode = self._word(file + structs["file"]["f_inode"])
        ino = self._word(inode + structs["inode"]["i_ino"])
        own = self._word(buffer + structs["dma_buf"]["priv"])
        pages = self._word(own + structs["cma_heap_buffer"]["pagecount"])
        page = self._word(own + structs["cma_heap_buffer"]["cma_pages"])
        found[ino] = (page - self._vmemmap) // structs["page"][""], pages

    def _word(self, address: int) -> int:
        value: int = struct.unpack("=Q", self._reader.peek(address, 8))[0]
        return value


def tied(buffers: Sequence[Buffer], runs: Mapping[int, Run],
         areas: Sequence[AreaFacts], page_size: int) -> tuple[Buffer, ...]:
    """The buffers with their areas, and with their pages where runs has them. Pure.

    A run that does not fit the buffer's size or lies in no area was misread, and is not used.
    """
    names = {area.name for area in areas}
    default = default_area(names)
    made = []
    for one in buffers:
        run = runs.get(one.ino)
        area = next((area.name for area in areas if run is not None and area.holds(*run)), "")
        if run is not None and area and one.size in (0, run[1] * page_size):
            made.append(replace(one, area=area, run=run, tie="pages",
                                size=one.size or run[1] * page_size))
        elif one.exporter in names:
            made.append(replace(one, area=one.exporter, tie="exporter"))
        elif one.exporter == "default_cma_region" and default:
            made.append(replace(one, area=default, tie="exporter"))
        else:
            made.append(one)
    return tuple(made)
