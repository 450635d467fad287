# SPDX-License-Identifier: GPL-2.0
"""Pages of CMA heaps' dma-bufs, read from kernel memory that a test lays out."""

from __future__ import annotations

import struct
from typing import cast

import pytest

from cmaobs.errors import KernelReadError
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.heaps import HeapReader
from cmaobs.kernel.plan import Plan, Ranges

HEAD, OPS, VMEMMAP = 0x1000, 0x9990, 0xA0000000
STRUCTS = {"dma_buf": {"size": 0, "file": 8, "ops": 32, "list_node": 64, "priv": 96, "": 200},
           "file": {"f_inode": 40}, "inode": {"i_ino": 64},
           "cma_heap_buffer": {"cma_pages": 80, "pagecount": 96}, "page": {"": 64}}


class Memory:
    """Words by address, in place of the kernel's."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.reads = 0
        self.nodes = [HEAD]

    def vmemmap(self) -> int:
        return VMEMMAP

    def peek(self, address: int, size: int) -> bytes:
        self.reads += 1
        try:
            return struct.pack(f"={size // 8}Q", *(self.words[address + at]
                                                   for at in range(0, size, 8)))
        except KeyError:
            raise KernelReadError("not mapped", "") from None

    def buffer(self, number: int, pfn: int, pages: int, ops: int = OPS) -> None:
        """A dma-buf of inode 100 + number at the list's end."""
        at = 0x10000 * number
        self.words |= {at + 8: at + 0x1000, at + 32: ops, at + 96: at + 0x3000,
                       at + 0x1000 + 40: at + 0x2000, at + 0x2000 + 64: 100 + number,
                       at + 0x3000 + 80: VMEMMAP + 64 * pfn, at + 0x3000 + 96: pages}
        self.nodes.append(at + 64)
        self.link()

    def link(self) -> None:
        """Both ways, round."""
        for before, node in zip(self.nodes, [*self.nodes[1:], HEAD], strict=True):
            self.words[before], self.words[node + 8] = node, before


def reader(memory: Memory, **lacking: int) -> HeapReader:
    plan = {"dmabuf_list": HEAD, "cma_heap_ops": OPS} | lacking
    made = Plan(attach="kprobe", fallback=False, functions={}, phases={}, tracepoints={},
                defines={}, structs=STRUCTS, ranges=Ranges(0, 8, 16), cma_areas=0,
                cma_area_count=0, mem_section=0, max_areas=8, patched=False, **plan)
    return HeapReader(cast(AreaReader, memory), made)


@pytest.fixture
def memory() -> Memory:
    made = Memory()
    made.link()
    return made


def test_buffers_of_cma_heaps_have_their_pages(memory: Memory) -> None:
    assert reader(memory).runs() == {}
    memory.buffer(1, 0x40000, 16)
    memory.buffer(2, 0x777, 3, ops=0x1234)  # of another exporter: its priv is something else
    memory.buffer(3, 0x40100, 512)
    assert reader(memory).runs() == {101: (0x40000, 16), 103: (0x40100, 512)}


@pytest.mark.parametrize("wrong", ["back", "loop", "unmapped"])
def test_a_list_that_changes_all_the_time_tells_nothing(memory: Memory, wrong: str) -> None:
    memory.buffer(1, 0x40000, 16)
    memory.buffer(2, 0x40100, 16)
    if wrong == "back":
        memory.words[memory.nodes[2] + 8] = 0x5555
    elif wrong == "loop":
        memory.words[memory.nodes[2]] = memory.nodes[1]
    else:
        del memory.words[memory.nodes[2]]
    assert reader(memory).runs() == {}


def test_a_walk_that_was_disturbed_is_made_again(memory: Memory) -> None:
    memory.buffer(1, 0x40000, 16)
    right, memory.words[memory.nodes[1] + 8] = memory.words[memory.nodes[1] + 8], 0x5555
    plain = memory.peek

    def peek(address: int, size: int) -> bytes:
        if memory.reads == 3:
            memory.words[memory.nodes[1] + 8] = right
        return plain(address, size)
    memory.peek = peek  # type: ignore[method-assign]
    assert reader(memory).runs() == {101: (0x40000, 16)}


@pytest.mark.parametrize("lacking", ["dmabuf_list", "cma_heap_ops"])
def test_without_the_symbols_nothing_is_read(memory: Memory, lacking: str) -> None:
    memory.buffer(1, 0x40000, 16)
    assert reader(memory, **{lacking: 0}).runs() == {}
    assert memory.reads == 0
