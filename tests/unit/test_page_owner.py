# SPDX-License-Identifier: GPL-2.0
"""Owners that the kernel remembers: its text, which pages it is of, and what is made of it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from golden import recordings, samples
from golden.samples import AREA, ListSource

from cmaobs import report
from cmaobs.kernel import page_owner
from cmaobs.observe import Observer
from cmaobs.recording import readings, values
from cmaobs.state import Owned

STACK = """ get_page_from_freelist+0x14a/0x1a0
 split_map_pages+0xa1/0x120
 isolate_freepages_range+0xb3/0xd0
 alloc_contig_range+0x1b6/0x260
 cma_alloc+0x1c5/0x5e0
 cma_heap_allocate+0x6a/0x250 [cma_heap]
 dma_heap_ioctl+0x1a7/0x280
"""
FRAMES = ("cma_alloc", "cma_heap_allocate [cma_heap]", "dma_heap_ioctl")


def text(pfn: int, comm: str, order: int = 0, stack: str = STACK, form: str = "6.1") -> str:
    """As print_page_owner() of a kernel prints it."""
    who = {"5.10": "pid 231, ts 500000 ns",
           "6.1": f"pid 232, tgid 231 ({comm}), ts 500000 ns, free_ts 0 ns",
           "6.12": f"pid 232, tgid 231 ({comm}), ts 500000 ns"}[form]
    number = f"{pfn:#x}" if form == "6.12" else str(pfn)
    return (f"Page allocated via order {order}, mask 0x102cc0(GFP_USER|__GFP_NOWARN), {who}\n"
            f"PFN {number} type Movable Block 1 type CMA Flags 0x100(node=0|zone=1)\n{stack}\n")


class Kernel:
    """os.pread of the file: the text of the first allocated page from the position on."""

    def __init__(self, pages: dict[int, str]) -> None:
        self.pages = pages
        self.reads = 0

    def pread(self, _fd: int, _size: int, position: int) -> bytes:
        self.reads += 1
        return next((self.pages[pfn] for pfn in sorted(self.pages) if pfn >= position), "").encode()


def owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: Kernel,
           *runs: tuple[int, int]) -> tuple[Owned, ...]:
    path = tmp_path / "sys/kernel/debug"
    path.mkdir(parents=True)
    (path / "page_owner").touch()
    monkeypatch.setattr(os, "pread", kernel.pread)
    return page_owner.read(runs, tmp_path)


@pytest.mark.parametrize("form", ["6.1", "6.12"])
def test_pages_of_one_owner_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        form: str) -> None:
    kernel = Kernel({**{pfn: text(pfn, "camera (x)", form=form) for pfn in range(100, 108)},
                     **{pfn: text(pfn, "codec", form=form) for pfn in range(108, 120)}})
    assert owners(tmp_path, monkeypatch, kernel, (100, 16), (118, 1)) == (
        Owned(100, 8, 500000, 231, "camera (x)", FRAMES),
        Owned(108, 8, 500000, 231, "codec", FRAMES),
        Owned(118, 1, 500000, 231, "codec", FRAMES))
    assert kernel.reads == 17


def test_an_old_kernel_knows_the_thread_only() -> None:
    told = page_owner.parse(text(100, "", form="5.10"))
    assert told is not None
    assert (told.pid, told.comm, told.frames) == (231, "", FRAMES)


def test_pages_that_cma_did_not_allocate_and_higher_orders(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = " __alloc_pages+0x1/0x2\n do_anonymous_page+0x1/0x2\n"
    kernel = Kernel({100: text(100, "camera", order=3), 108: text(108, "sh", stack=other),
                     110: text(110, "codec", order=2)})
    assert owners(tmp_path, monkeypatch, kernel, (100, 12)) == (
        Owned(100, 8, 500000, 231, "camera", FRAMES), Owned(110, 2, 500000, 231, "codec", FRAMES))


def test_a_kernel_that_does_not_remember(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_owner.read([(100, 16)], tmp_path) == ()
    assert owners(tmp_path, monkeypatch, Kernel({}), (100, 16)) == ()
    assert page_owner.parse("something else") is None


def test_it_names_what_was_there_before() -> None:
    base = AREA.base_pfn
    first = dataclasses.replace(
        samples.reading(500, (samples.counts(), samples.state(at_ns=500, allocated=(
            (base, 32), (base + 64, 8))))),
        owners=(Owned(base + 8, 16, 400, 231, "camera", FRAMES),
                Owned(base + 60, 100, 10 ** 9, 240, "codec", FRAMES)))
    observer = Observer(ListSource(first), follow=True)
    assert list(observer.steps()) == [first]
    assert observer.view.holders is not None
    assert [(piece.pfn - base, piece.pages, piece.caller.comm, piece.caller.driver)
            for piece in observer.view.holders.pieces[0]] == [
        (0, 8, "", ""), (8, 16, "camera", "dma-buf heap"), (24, 8, "", ""),
        (64, 8, "codec", "dma-buf heap")]
    drawn = report.draw_snapshot(report.snapshot(observer.view))
    assert "camera[231], dma-buf heap, allocated before the observer came\n" in drawn
    assert "held         40 pages, 40 allocated before the observer came\n" in drawn


def test_a_recording_keeps_them(tmp_path: Path) -> None:
    read = dataclasses.replace(
        samples.reading(500, (samples.counts(), samples.state(at_ns=500))),
        owners=(Owned(AREA.base_pfn, 16, 400, 231, "camera", FRAMES),))
    recordings.write(tmp_path / "a.cmarec", [read])
    assert recordings.read(tmp_path / "a.cmarec")[0] == [read]


@pytest.mark.parametrize(("wrong", "said"), [
    ({"pages": 17}, "ascending"), ({"frames": [1]}, "frames"), ({"comm": 5}, "comm")])
def test_a_recording_that_somebody_made_up(wrong: dict[str, object], said: str) -> None:
    read = dataclasses.replace(
        samples.reading(500, (samples.counts(), samples.state(at_ns=500))),
        owners=tuple(Owned(AREA.base_pfn + at, 16, 400, 231, "camera", FRAMES) for at in (0, 16)))
    value = values.load(values.dump(readings.reading_to_json(read)))
    assert readings.reading_from_json(value, {0: AREA}) == read
    value["owners"][0] |= wrong
    with pytest.raises(ValueError, match=said):
        readings.reading_from_json(value, {0: AREA})
