# SPDX-License-Identifier: GPL-2.0
"""Each cause of failure and phase, provoked and named by two observers; and nothing else named."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cmaobs.load import targets
from cmaobs.load.area import Area as LoadArea
from cmaobs.phases import NAMES
from kernel.pinning import pinned_page
from kernel.stalling import allocates, draining_stalled
from kernel.tools import AREA, Area, Sample, Serve, cli, key_of, wait_for

pytestmark = pytest.mark.kernel

Counts = Mapping[tuple[str, str], int]
"""Failures by area and cause, without zeros."""


def causes(samples: Mapping[Sample, float]) -> dict[tuple[str, str], int]:
    found = {}
    for (name, labels), value in samples.items():
        if name == "cma_alloc_failure_causes_total" and value:
            by = dict(labels)
            found[by["area"], by["cause"]] = int(value)
    return found


def grown(now: Counts, before: Counts) -> dict[tuple[str, str], int]:
    return {key: count - before.get(key, 0) for key, count in now.items()
            if count != before.get(key, 0)}


def counted(samples: Mapping[Sample, float], phase: str, area: Area) -> int:
    """Allocations that had the phase."""
    key = key_of("cma_alloc_phase_duration_seconds_count", area=area.name, phase=phase)
    return int(samples[key])


def spent(samples: Mapping[Sample, float], phase: str, area: Area) -> float:
    """Seconds in the phase."""
    return samples[key_of("cma_alloc_phase_duration_seconds_sum", area=area.name, phase=phase)]


def writes(area: Area, pages: int) -> subprocess.Popen[bytes]:
    """A process that allocates."""
    return subprocess.Popen(
        ["sh", "-c", f"echo {pages} >/sys/kernel/debug/cma/{area.name}/alloc"])


class Scene:
    """Two observers at a time, one by fentry and one by kprobes, of everything that is done."""

    def __init__(self, serves: list[Serve], patched: bool) -> None:
        self.serves = serves
        self.area, self.camera, self.codec = (
            Area(name, patched) for name in (AREA, "camera", "codec"))
        self._before = [causes(serve.settled()) for serve in serves]
        self.all: dict[tuple[str, str], int] = {}

    def failed(self, area: Area, cause: str) -> dict[str, Any]:
        """The latest failure, once each observer has named this one and no other."""
        found = []
        for serve, before in zip(self.serves, self._before, strict=True):
            expected = {(area.name, cause): 1}
            wait_for(lambda serve=serve, before=before: grown(causes(serve.settled()), before), 60)
            samples = serve.settled()
            assert grown(causes(samples), before) == expected
            errnos = sum(value for (name, _), value in samples.items()
                         if name == "cma_alloc_failures_total")
            assert errnos == sum(causes(samples).values())
            found.append(self.latest(serve)[-1])
        self._before = [causes(serve.scrape()) for serve in self.serves]
        self.all[area.name, cause] = self.all.get((area.name, cause), 0) + 1
        one, other = found
        assert (one["area"], one["cause"], one["told"]) == (area.name, cause, other["told"])
        return one

    @staticmethod
    def latest(serve: Serve) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{serve.url}/view.json", timeout=30) as response:
            found: list[dict[str, Any]] = json.load(response)["failures"]
        return found


@pytest.fixture(scope="module")
def scene(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    for name in (AREA, "camera", "codec"):
        Area(name, patched).reset()
    with contextlib.ExitStack() as stack:
        serves = [stack.enter_context(Serve(tmp_path_factory.mktemp(how), "--attach", how,
                                            "--phases"))
                  for how in ("fentry", "kprobe")]
        yield Scene(serves, patched)


@pytest.fixture(autouse=True)
def empty(scene: Scene) -> Iterator[None]:
    yield
    for area in (scene.area, scene.camera, scene.codec):
        area.reset()


def test_no_run_is_long_enough(scene: Scene) -> None:
    """1500 clear, 1500 allocated, and the rest of 4096 clear."""
    assert scene.camera.alloc(3000)
    scene.camera.free(1500)
    assert not scene.camera.alloc(2000)
    one = scene.failed(scene.camera, "fragmented")
    assert one["told"] == "asked for 2000 pages; 2596 were clear, 1500 in the longest run"
    assert (one["errno"], one["pages"], one["tries"]) == ("ENOMEM", 2000, 0)

    assert not scene.camera.alloc(2597)
    one = scene.failed(scene.camera, "no_room")
    assert one["clear_pages"] == [2596, 2596]
    assert one["largest_run_pages"] == [1500, 1500]


def test_no_run_begins_where_it_must(scene: Scene) -> None:
    """Pages 1 to 300 are clear; a dma-buf of 256 pages asks for a multiple of 256."""
    pages = scene.area.debugfs("count")
    assert scene.area.alloc(1)
    assert scene.area.alloc(pages - 1)
    scene.area.free(300)
    _, heap = targets.make(LoadArea(Path("/"), AREA, None), "heap", False)
    with contextlib.closing(heap), pytest.raises(OSError, match="Cannot allocate"):
        heap.alloc(256)
    one = scene.failed(scene.area, "alignment")
    assert one["told"] == ("asked for 256 pages; 300 were clear, 300 in the longest run, none at a "
                           "multiple of 256 pages")


def test_more_than_there_is_and_nothing(scene: Scene) -> None:
    assert not scene.codec.alloc(4097)
    one = scene.failed(scene.codec, "oversize")
    assert one["told"] == "asked for 4097 pages of an area that has 4096"
    assert not scene.codec.alloc(0)
    scene.failed(scene.codec, "zero")


def test_a_killed_thread_and_one_that_waits_for_it(scene: Scene) -> None:
    """The first sleeps in lru_cache_disable(), and holds the mutex that the second waits for."""
    with draining_stalled():
        killed = writes(scene.codec, 2048)
        wait_for(lambda: allocates(killed))
        waits = writes(scene.camera, 16)
        wait_for(lambda: allocates(waits))
        time.sleep(1)
        killed.kill()
    assert killed.wait(60) == -signal.SIGKILL
    assert waits.wait(60) == 0
    one = scene.failed(scene.codec, "interrupted")
    assert (one["errno"], one["tries"]) == ("EINTR", 1)
    for serve in scene.serves:
        now = serve.scrape()
        assert counted(now, "waiting", scene.camera) == 1
        assert counted(now, "waiting", scene.codec) == counted(now, "waiting", scene.area) == 0
        assert spent(now, "waiting", scene.camera) > 1
        assert spent(now, "draining", scene.codec) > 1


def test_phases_add_up_to_the_whole(scene: Scene) -> None:
    """All of an allocation through the page allocator is in its phases, of which one is the rest.
    """
    before = [serve.settled() for serve in scene.serves]
    for _ in range(3):
        assert scene.codec.alloc(512)
    for serve, then in zip(scene.serves, before, strict=True):
        now = serve.settled()
        key = key_of("cma_alloc_duration_seconds_sum", area="codec", path="contig")
        whole = now[key] - then[key]
        parts = {phase: spent(now, phase, scene.codec) - spent(then, phase, scene.codec)
                 for phase in NAMES}
        assert sum(parts.values()) == pytest.approx(whole, rel=1e-6)
        for phase in ("isolating", "draining", "reclaiming", "migrating", "testing"):
            assert parts[phase] > 0
            assert counted(now, phase, scene.codec) - counted(then, phase, scene.codec) == 3
        assert parts["waiting"] == 0
        print(f"rest: {parts['rest'] / whole:.1%} of {whole:.3f} s", parts)


def test_a_page_that_a_pipe_refers_to(scene: Scene) -> None:
    """It is named, with the reference that its mapping does not explain."""
    area = scene.area
    base, count = area.debugfs("base_pfn"), area.debugfs("count")
    with pinned_page(base, count) as pfn:
        before = pfn - base - 1
        old = [serve.settled() for serve in scene.serves]
        assert area.alloc(before)
        assert not area.alloc(count - before)
        one = scene.failed(area, "busy")
        for serve, then in zip(scene.serves, old, strict=True):
            now = serve.scrape()
            isolated, migrated, failed = (
                now[key_of("cma_alloc_moved_pages_total", area=AREA, what=what)]
                - then[key_of("cma_alloc_moved_pages_total", area=AREA, what=what)]
                for what in ("isolated", "migrated", "failed"))
            assert isolated > migrated > 0
            assert failed >= 1
            assert spent(now, "migrating", area) > spent(then, "migrating", area)
        place, = one["busy"]
        assert (place["pfn"], place["pages"], place["stayed"]) == (pfn - 1, count - before, pfn)
        page = place["page"]
        assert (page["pfn"], page["mapped"]) == (pfn, 1)
        assert {"anon", "mmap"} <= set(page["flags"])
        assert page["references"] > 1
        assert 0 < place["after_s"] < 60

        old = [serve.settled() for serve in scene.serves]
        assert area.alloc(4)  # tries the page before it, it, and gets what follows
        for serve, then in zip(scene.serves, old, strict=True):
            now = serve.settled()
            for name, more in (("cma_alloc_retries_total", 2), ("cma_alloc_retried_total", 1)):
                key = key_of(name, area=AREA)
                assert now[key] - then[key] == more
            assert causes(now) == causes(then)


def test_a_recording_tells_the_same(scene: Scene) -> None:
    """Last in this file: the observers end here. Each failure is in it, and agrees with the rules.
    """
    live = [[(one["area"], one["cause"], one["told"], one["busy"]) for one in scene.latest(serve)]
            for serve in scene.serves]
    for serve, latest in zip(scene.serves, live, strict=True):
        assert serve.stop() == 0, serve.output()
        told = json.loads(cli("replay", str(serve.recording), "--json"))
        found = {(area["name"], cause): count for area in told["areas"]
                 for cause, count in area.get("failure_causes", {}).items()}
        assert found == scene.all
        again = [(one["area"], one["cause"], one["told"], one["busy"]) for area in told["areas"]
                 for one in area.get("latest_failures", ())]
        assert sorted(again, key=str) == sorted(latest, key=str)
        assert "busy: asked for" in serve.output()
        assert "more than its users explain" in serve.output()
        slowest = {area["name"]: area["slowest"][0]["phases"] for area in told["areas"]
                   if area["slowest"]}
        assert max(slowest["camera"], key=slowest["camera"].get) == "waiting"
        assert max(slowest["codec"], key=slowest["codec"].get) == "draining"
        assert [area["moved"]["missed"] for area in told["areas"]] == [0] * len(told["areas"])
