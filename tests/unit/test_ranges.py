# SPDX-License-Identifier: GPL-2.0
"""Areas of several ranges (Linux 6.15 on), from a struct cma in memory to the verdict."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, cast

import pytest
from golden import samples
from golden.captures import facts as captured

from cmaobs import wire
from cmaobs.crosscheck import Checker
from cmaobs.errors import KernelReadError
from cmaobs.events import Operation, Path
from cmaobs.kernel import plan
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.libbpf import Maps
from cmaobs.kernel.loader import Loaded
from cmaobs.observe import Observer
from cmaobs.recording import readings
from cmaobs.sanity import record_fault, state_fault
from cmaobs.state import AreaFacts, Run
from cmaobs.verdict import Outcome
from cmaobs.view import clear_runs, largest_clear_run

ADDRESS, COUNTED = 0x4000, 0x3000
SEVERAL = AreaFacts(0, "hugetlb0", 0x40000, 768, 0, ((0x40000, 512), (0x80000, 256)))
PLAN = plan.make(captured("6.18.15+deb13-arm64", headers="installed"))
SNAP = wire.size("cmaobs_snap")


class Kernel:
    """Memory with struct cma as 6.18 has it, in place of the programs of probes/snapshot.h."""

    def __init__(self, *areas: tuple[int, list[tuple[Run, bytes]]]) -> None:
        """areas: order_per_bit, and ranges with their bitmaps, in the order of the struct."""
        cma, one = PLAN.structs["cma"], PLAN.structs["cma_memrange"]
        self.memory = bytearray(0x10000)
        self.snap = bytes(SNAP)
        self.calls = 0
        struct.pack_into("=I", self.memory, COUNTED, len(areas))
        bitmap = 0x8000
        for number, (order, ranges) in enumerate(areas):
            at = ADDRESS + number * cma[""]
            struct.pack_into("=Q", self.memory, at + cma["count"], sum(r[1] for r, _ in ranges))
            struct.pack_into("=I", self.memory, at + cma["order_per_bit"], order)
            struct.pack_into("=i", self.memory, at + cma["nranges"], len(ranges))
            self.memory[at + cma["name"]:at + cma["name"] + 5] = b"area%d" % number
            for place, (run, bits) in enumerate(ranges):
                of = at + cma["ranges"] + place * one[""]
                struct.pack_into("=2Q", self.memory, of, *run)
                struct.pack_into("=Q", self.memory, of + one["bitmap"], bitmap)
                self.memory[bitmap:bitmap + len(bits)] = bits
                bitmap += len(bits)

    def number(self, address: int) -> int:
        return int.from_bytes(self.memory[address:address + 8], "little")

    def run(self, fd: int, *args: int, cpu: int | None = None) -> None:
        at = wire.offset("cmaobs_snap", "bitmap")
        if fd == 1:
            data = self.memory[args[0]:args[0] + args[1]]
        else:
            self.calls += 1
            _, cma, word, _, one = args
            order = self.number(cma + PLAN.defines["CMA_ORDER"]) & 0xffffffff  # type: ignore[operator]
            words = ((self.number(one + 8) >> order) + 63) // 64 - word
            bitmap = self.number(one + 16) + word * 8
            data = self.memory[bitmap:bitmap + max(0, min(words, 4096)) * 8]
        self.snap = bytes(at) + bytes(data) + bytes(SNAP - at - len(data))

    def lookup(self, fd: int, key: int, size: int) -> bytes:
        return self.snap


def reader(kernel: Kernel) -> AreaReader:
    made = replace(PLAN, cma_areas=ADDRESS, cma_area_count=COUNTED)
    loaded = Loaded("kprobe", {"snap": 0}, {"peek": 1, "snapshot": 2})
    return AreaReader(loaded, made, cast(Maps, kernel))


def test_every_range_is_read_with_its_own_bitmap() -> None:
    first, second = b"\x0f" + bytes(7), b"\xff" * 8 + b"\x01" + bytes(7)
    kernel = Kernel((0, [((0x80000, 128), second), ((0x40000, 64), first)]),
                    (2, [((0x1000, 256), b"\x03" + bytes(7))]))
    made = reader(kernel)
    assert made.areas == (
        AreaFacts(0, "area0", 0x40000, 192, 0, ((0x40000, 64), (0x80000, 128))),
        AreaFacts(1, "area1", 0x1000, 256, 2))
    state = made.read(made.areas[0])
    assert state.allocated == ((0x40000, 4), (0x80000, 65))
    assert (state.at_rest, state.fault, kernel.calls) == (True, "", 2)
    assert made.read(made.areas[1]).allocated == ((0x1000, 8),)
    assert (made.areas[0].span, made.areas[1].span) == (0x40080, 256)


def test_a_bitmap_of_many_calls_comes_before_the_next_range() -> None:
    pages = 4096 * 64 + 64
    kernel = Kernel((0, [((0, 64), b"\x80" + bytes(7)), ((0x100000, pages), b"")]))
    kernel.memory += bytes(4097 * 8)
    bitmap = kernel.number(ADDRESS + PLAN.ranges.first + PLAN.ranges.size + 16)
    kernel.memory[bitmap + 4096 * 8] = 0xff
    made = reader(kernel)
    assert made.read(made.areas[0]).allocated == ((7, 1), (0x100000 + 4096 * 64, 8))
    assert kernel.calls == 3


def test_an_area_that_could_not_be_set_up_has_no_pages() -> None:
    kernel = Kernel((0, [((0x40000, 64), b"\xff" * 8), ((0x80000, 64), b"\xff" * 8)]))
    kernel.memory[ADDRESS + PLAN.structs["cma"]["count"]] = 0
    made = reader(kernel)
    assert made.areas == (AreaFacts(0, "area0", 0x40000, 0, 0),)
    assert made.read(made.areas[0]).allocated == ()


@pytest.mark.parametrize(("member", "value", "message"), [
    ("nranges", 9, "9 ranges, with room for 8"), ("nranges", 0, "0 ranges"),
    ("count", 7, "7 pages has ranges of other sizes")])
def test_what_is_no_struct_cma_is_told(member: str, value: int, message: str) -> None:
    kernel = Kernel((0, [((0x40000, 64), b"")]))
    kernel.memory[ADDRESS + PLAN.structs["cma"][member]] = value
    with pytest.raises(KernelReadError, match=message):
        reader(kernel)


def test_clear_runs_end_with_their_range() -> None:
    """Two adjacent ranges: a run of clear bits does not go on in the next."""
    facts = AreaFacts(0, "x", 0, 100, 0, ((0, 50), (50, 50)))
    state = samples.state(facts, allocated=((10, 5), (45, 5)), extents=None)
    assert clear_runs(state) == [(0, 10), (15, 30), (50, 50)]
    assert largest_clear_run(state) == 50
    assert clear_runs(replace(state, allocated=((0, 50), (50, 50)))) == []


def test_pages_between_ranges_are_not_the_areas() -> None:
    def inside(pfn: int, count: int) -> bool:
        record = samples.alloc(1, 2, pfn, count)
        state = samples.state(SEVERAL, allocated=((pfn, count),), extents=None)
        assert bool(record_fault(record, {0: SEVERAL})) == bool(state_fault(state))
        return not record_fault(record, {0: SEVERAL})

    assert inside(0x401ff, 1)
    assert inside(0x80000, 256)
    assert not inside(0x401ff, 2)
    assert not inside(0x40200, 1)
    assert not inside(0x80000, 257)


def test_the_verdict_is_unknown_for_that_area_alone() -> None:
    """Even where what is seen would break a rule, were the area of one range."""
    one = replace(samples.AREA, index=1)
    checker = Checker((SEVERAL, one), attached_ns=1)
    checker.advance(100)
    checker.observe(samples.state(SEVERAL, 100, extents=None))
    checker.observe(samples.state(one, 100))
    for area, times in ((0, 3), (1, 1)):
        for number in range(times):
            at = 1000 * (10 * area + number + 1)
            record = samples.alloc(at, at + 10, 0x40000, 16, Path.CONTIG, area=area, n_contig=1)
            call = samples.contig(at + 1, at + 9, at, 0x40000, 16)
            checker.push(Operation(record, (call._replace(area=area),)))
    checker.advance(10 ** 6)
    checker.observe(samples.state(SEVERAL, 10 ** 6, ((0x80000, 1),), begun=3))
    checker.observe(replace(samples.state(one, 10 ** 6, ((0x40000, 16),), begun=1),
                            pages_succeeded=16))
    checker.advance(2 * 10 ** 6)
    verdict = checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reasons == (
        "area hugetlb0: it has several ranges, and the rules are for one",)
    several, single = verdict.coverage
    assert (several.operations, several.decided, dict(several.undecided)) == (
        3, 0, {"of several ranges": 3})
    assert (single.operations, single.decided) == (1, 1)
    assert not verdict.divergences


def test_counts_and_holders_of_several_ranges_are_those_of_any_area() -> None:
    steps = (samples.reading(0, (samples.counts(SEVERAL), samples.state(SEVERAL, extents=None))),
             samples.batch(samples.alloc(10, 20, 0x80010, 16, Path.CONTIG)),
             samples.reading(10 ** 9, (
                 samples.counts(SEVERAL, allocs_contig=1, alloc_pages_contig=16),
                 samples.state(SEVERAL, 10 ** 9, ((0x80010, 16),), None, 1))))
    source = samples.ListSource(*steps, areas=(SEVERAL,))
    observer = Observer(source, Checker(source.areas), follow=True)
    for _ in observer.steps():
        pass
    view = observer.view
    assert view.impossible == 0
    assert view.tallied.mismatched == 0
    assert view.holders is not None
    assert [(p.pfn, p.pages) for p in view.holders.pieces[0]] == [(0x80010, 16)]


def test_ranges_are_recorded() -> None:
    value: dict[str, Any] = readings.area_to_json(SEVERAL)
    assert readings.area_from_json(value) == SEVERAL
    assert "ranges" not in readings.area_to_json(samples.AREA)
    for bad in ([0x40000, 768], [0x40000, 512, 0x40100, 256], [0x40000, 512, 0x80000, 255],
                [0x80000, 256, 0x40000, 512], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"ranges|runs"):
            readings.area_from_json({**value, "ranges": bad})
