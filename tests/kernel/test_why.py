# SPDX-License-Identifier: GPL-2.0
"""Each cause of failure and each phase, provoked once, and named by two observers: no other is."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cmaobs.events import Kind, Record, decode
from cmaobs.load import targets
from cmaobs.load.area import Area as LoadArea
from cmaobs.phases import Phased
from cmaobs.phases import decode as decode_phased
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch
from kernel.pinning import pinned_page
from kernel.stalling import allocates, draining_stalled
from kernel.tools import AREA, Area, Sample, Serve, cli, key_of, wait_for

# Areas of its own come with the test-only patches.
pytestmark = [pytest.mark.kernel, pytest.mark.patched("yes")]

WAYS = ("fentry", "kprobe")
AREAS = (AREA, "camera", "codec")
CAUSES = [("camera", "fragmented"), ("camera", "no_room"), (AREA, "alignment"),
          ("codec", "oversize"), ("codec", "zero"), ("codec", "interrupted"), (AREA, "busy")]
"""In the order in which Scene provokes them."""


class Scene:
    """What was done, with two observers at a time, and what each of them says of it."""

    def __init__(self, serves: list[Serve], patched: bool) -> None:
        self._serves = serves
        self.area, self.camera, self.codec = (Area(name, patched) for name in AREAS)
        self._no_run()
        self._no_alignment()
        assert not self.codec.alloc(4097)
        assert not self.codec.alloc(0)
        for _ in range(3):
            assert self.codec.alloc(512)
        self.codec.reset()
        self._stalled()
        self._pinned()
        self.samples: list[dict[Sample, float]] = [serve.settled() for serve in serves]
        self.latest: list[list[dict[str, Any]]] = [_view(serve)["failures"] for serve in serves]
        self.status = [serve.stop() for serve in serves]
        self.output = [serve.output() for serve in serves]
        self.told = [json.loads(cli("replay", str(one.recording), "--json")) for one in serves]
        self.records, self.phased = zip(*(_recorded(one.recording) for one in serves), strict=True)
        with contextlib.closing(RecordingSource(str(serves[0].recording))) as source:
            self.index = {facts.name: facts.index for facts in source.areas}

    def _no_run(self) -> None:
        """Of 4096 pages 1500 are clear, 1500 allocated, and the rest is clear."""
        assert self.camera.alloc(3000)
        self.camera.free(1500)
        assert not self.camera.alloc(2000)
        assert not self.camera.alloc(2597)
        self.camera.reset()

    def _no_alignment(self) -> None:
        """Pages 1 to 300 are clear; a dma-buf of 256 pages asks for a multiple of 256."""
        assert self.area.alloc(1)
        assert self.area.alloc(self.area.debugfs("count") - 1)
        self.area.free(300)
        _, heap = targets.make(LoadArea(Path("/"), AREA, None), "heap", False)
        with contextlib.closing(heap), pytest.raises(OSError, match="Cannot allocate"):
            heap.alloc(256)
        self.area.reset()

    def _stalled(self) -> None:
        """One thread sleeps in lru_cache_disable(), with the mutex that another waits for."""
        with draining_stalled():
            killed = _writes(self.codec, 2048)
            wait_for(lambda: allocates(killed))
            waits = _writes(self.camera, 16)
            wait_for(lambda: allocates(waits))
            time.sleep(1)
            killed.kill()
        assert killed.wait(60) == -signal.SIGKILL
        assert waits.wait(60) == 0
        self.camera.reset()

    def _pinned(self) -> None:
        """A pipe refers to a page that is lent: nothing with it in can be had."""
        base, count = self.area.debugfs("base_pfn"), self.area.debugfs("count")
        with pinned_page(base, count) as self.pinned:
            before = self.pinned - base - 1
            assert self.area.alloc(before)
            assert not self.area.alloc(count - before)
            assert self.area.alloc(4)  # tries the page before it, it, and gets what follows
            for serve in self._serves:  # by then it has been read
                serve.settled()
        self.area.reset()


def _writes(area: Area, pages: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", f"echo {pages} >/sys/kernel/debug/cma/{area.name}/alloc"])


def _view(serve: Serve) -> dict[str, Any]:
    with urllib.request.urlopen(f"{serve.url}/view.json", timeout=30) as response:
        found: dict[str, Any] = json.load(response)
    return found


def _recorded(path: Path) -> tuple[list[Record], list[Phased]]:
    steps = [one for one in RecordingSource(str(path)).steps() if isinstance(one, Batch)]
    return ([record for one in steps for record in decode(one.data)],
            [phased for one in steps for phased in decode_phased(one.phased)])


@pytest.fixture(scope="module")
def scene(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    for name in AREAS:
        Area(name, patched).reset()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        made = [Serve(tmp_path_factory.mktemp(how), "--attach", how, "--phases", "yes",
                      "--callers", "no", "--interval", "500ms") for how in WAYS]
        yield Scene(list(pool.map(stack.enter_context, made)), patched)
    for name in AREAS:
        Area(name, patched).reset()


@pytest.mark.parametrize("way", range(2), ids=WAYS)
class TestEachWayToAttach:
    def test_each_cause_is_counted_once_and_no_other(self, scene: Scene, way: int) -> None:
        found = {(labels["area"], labels["cause"]): value
                 for name, labels, value in ((key[0], dict(key[1]), value)
                                             for key, value in scene.samples[way].items())
                 if name == "cma_alloc_failure_causes_total"}
        assert {key: value for key, value in found.items() if value} == dict.fromkeys(CAUSES, 1)
        assert len(found) > 3 * len(CAUSES)
        errnos = sum(value for (name, _), value in scene.samples[way].items()
                     if name == "cma_alloc_failures_total")
        assert errnos == len(CAUSES)

    def test_each_is_told_with_its_numbers(self, scene: Scene, way: int) -> None:
        latest = scene.latest[way]
        assert [(one["area"], one["cause"]) for one in latest] == CAUSES
        told = [one["told"] for one in latest]
        assert told[:4] == [
            "asked for 2000 pages; 2596 were clear, 1500 in the longest run",
            "asked for 2597 pages; 2596 were clear, 1500 in the longest run",
            "asked for 256 pages; 300 were clear, 300 in the longest run, none at a multiple of "
            "256 pages", "asked for 4097 pages of an area that has 4096"]
        assert [one["errno"] for one in latest] == [*["ENOMEM"] * 5, "EINTR", "EBUSY"]
        assert [one["tries"] for one in latest] == [*[0] * 5, 1, 1]

    def test_the_page_that_a_pipe_refers_to_is_named(self, scene: Scene, way: int) -> None:
        """With the reference that its mapping does not explain."""
        place, = scene.latest[way][-1]["busy"]
        assert (place["pfn"], place["stayed"]) == (scene.pinned - 1, scene.pinned)
        page = place["page"]
        assert (page["pfn"], page["mapped"]) == (scene.pinned, 1)
        assert {"anon", "mmap"} <= set(page["flags"])
        assert page["references"] > 1
        assert 0 < place["after_s"] < 60
        assert "more than its users explain" in scene.output[way]

    def test_retries_are_counted(self, scene: Scene, way: int) -> None:
        tries = [record.n_contig for record in scene.records[way]
                 if record.kind == Kind.ALLOC and record.n_contig > 1]
        four, = (record for record in scene.records[way]
                 if record.kind == Kind.ALLOC and record.count == 4)
        assert (four.n_contig, four.pfn) == (3, scene.pinned + 1)
        for name, value in (("cma_alloc_retries_total", sum(tries) - len(tries)),
                            ("cma_alloc_retried_total", len(tries))):
            assert sum(scene.samples[way][key_of(name, area=area)] for area in AREAS) == value

    def test_a_recording_tells_the_same(self, scene: Scene, way: int) -> None:
        assert scene.status[way] == 0, scene.output[way]
        areas = scene.told[way]["areas"]
        assert {(area["name"], cause): count for area in areas
                for cause, count in area.get("failure_causes", {}).items()} == dict.fromkeys(
                    CAUSES, 1)
        again = [one for area in areas for one in area.get("latest_failures", ())]
        assert sorted(again, key=str) == sorted(scene.latest[way], key=str)

    def test_phases_add_up_to_each_allocation(self, scene: Scene, way: int) -> None:
        """Each that called alloc_contig_range() has its phases, which miss nothing of it."""
        allocated = {(one.start_ns, one.end_ns): one for one in scene.records[way]
                     if one.kind == Kind.ALLOC and one.n_contig}
        phased = {(one.start_ns, one.end_ns): one for one in scene.phased[way]}
        assert phased.keys() == allocated.keys()
        assert not [one for one in phased.values() if one.missed]
        for one in phased.values():
            assert sum(one.phases.values()) == one.whole_ns
            assert {"isolating", "draining"} <= one.phases.keys()
        quiet = [phased[key] for key, one in allocated.items() if one.count == 512]
        assert len(quiet) == 3
        for one in quiet:
            assert {"reclaiming", "migrating", "testing"} <= one.phases.keys()
            assert "waiting" not in one.phases
            print(f"rest {one.phases['rest'] / one.whole_ns:.1%} of {one.whole_ns} ns",
                  one.phases)

    def test_what_took_long_is_named(self, scene: Scene, way: int) -> None:
        slowest = {area["name"]: area["slowest"][0]["phases"] for area in scene.told[way]["areas"]}
        assert max(slowest["camera"], key=slowest["camera"].get) == "waiting"
        assert max(slowest["codec"], key=slowest["codec"].get) == "draining"
        waited = [one.area for one in scene.phased[way] if one.waiting_ns]
        assert waited == [scene.index["camera"]]

    def test_pages_are_counted_as_they_move(self, scene: Scene, way: int) -> None:
        moved = {what: scene.samples[way][key_of("cma_alloc_moved_pages_total", area=AREA,
                                                 what=what)]
                 for what in ("isolated", "migrated", "failed")}
        assert moved["isolated"] >= moved["migrated"] > 0
        for what, pages in moved.items():
            assert pages == sum(getattr(one, what) for one in scene.phased[way]
                                if one.area == scene.index[AREA])
