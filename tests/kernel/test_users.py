# SPDX-License-Identifier: GPL-2.0
"""Drivers that allocate from CMA: a camera's frames, and huge pages of hugetlb_cma=.

On the kernel of `deploy/kernel/build --flavour users`, started with vimc.allocator=1 and
hugetlb_cma=1G: make test-users.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.camera import Camera
from kernel.tools import AREA, Area, Sample, Serve, grown, key_of

pytestmark = [pytest.mark.kernel, pytest.mark.patched("users")]
PAGE = os.sysconf("SC_PAGESIZE")
HUGE = Path("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages")
HUGE_PAGES = (1 << 30) // PAGE
GRANTED = ("defer_hit", "contig")


@pytest.fixture(scope="module")
def observer(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with Serve(tmp_path_factory.mktemp("users"), "--stacks") as serve:
        yield serve
        assert serve.stop() == 0, serve.output()
        assert "verdict: agree" in serve.output()


def drivers(samples: dict[Sample, float], area: str) -> dict[str, float]:
    """Pages held now, by driver."""
    return {labels["driver"]: value for labels, value in
            ((dict(key[1]), value) for key, value in samples.items()
             if key[0] == "cma_caller_held_pages") if labels["area"] == area and value}


def ways(before: dict[Sample, float], after: dict[Sample, float], area: str) -> dict[str, int]:
    """Allocations by path between two scrapes."""
    return {path: grown(before, after, "cma_alloc_total", area=area, path=path)
            for path in GRANTED}


def test_a_cameras_frames(area: Area, observer: Serve) -> None:
    """Each buffer is an allocation of the v4l2 driver; the second stream's are served deferred."""
    before = observer.settled()
    with Camera("RGB/YUV Capture", 640, 480) as camera:
        pages = -(-camera.size // PAGE)
        assert pages >= 225
        for way in ("contig", "defer_hit"):
            assert camera.buffers(4) == 4
            after = observer.settled()
            assert ways(before, after, AREA) == {**dict.fromkeys(GRANTED, 0), way: 4}
            assert drivers(after, AREA) == {"v4l2": 4 * pages}
            assert camera.buffers(0) == 0
            before = observer.settled()
            assert drivers(before, AREA) == {}
            assert before[key_of("cma_deferred_pages", area=AREA)] == 4 * pages
        with Camera("Raw Capture 0", 320, 240) as other:
            assert other.buffers(3) == 3
            assert sum(drivers(observer.settled(), AREA).values()) == 3 * -(-other.size // PAGE)
    assert drivers(observer.settled(), AREA) == {}


def test_a_page_of_a_gibibyte_that_finds_no_place(observer: Serve) -> None:
    """An area with 512 pages to a bit, which 6.1 does not align: as large as what is asked for, it
    has no multiple of that. The cause says so, and who asked."""
    name, = [path.name for path in Path("/sys/kernel/debug/cma").glob("hugetlb*")]
    assert Path("/sys/kernel/debug/cma", name, "order_per_bit").read_text() == "9\n"
    base = int(Path("/sys/kernel/debug/cma", name, "base_pfn").read_text())
    assert base % HUGE_PAGES, "it is aligned here: then the page is had"
    before = observer.settled()
    assert before[key_of("cma_area_pages", area=name)] == HUGE_PAGES
    HUGE.write_text("1")
    after = observer.settled()
    assert HUGE.read_text() == "0\n"
    assert ways(before, after, name) == dict.fromkeys(GRANTED, 0)
    assert grown(before, after, "cma_alloc_failure_causes_total", area=name,
                 cause="alignment") == 1
    failed = {dict(key[1])["driver"] for key, value in after.items()
              if key[0] == "cma_caller_alloc_failures_total" and value}
    assert failed == {"hugetlb"}
