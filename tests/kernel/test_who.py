# SPDX-License-Identifier: GPL-2.0
"""Who holds pages, who asked for them, who keeps the dma-bufs: named exactly, nobody else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.holders import Holder
from kernel.tools import AREA, Area, Sample, Serve, cli, key_of, wait_for

pytestmark = pytest.mark.kernel

HEAP, DEBUGFS = "dma-buf heap", "debugfs"
BEFORE = 12


class Scene:
    """The exporter, the area that it watches, and the processes."""

    def __init__(self, serve: Serve, area: Area, holders: list[Holder]) -> None:
        self.serve, self.area = serve, area
        self.camera, self.codec, self.keeper = holders

    def held(self, samples: dict[Sample, float]) -> dict[tuple[str, str], float]:
        """Pages by caller and driver, all of the area."""
        return {(labels["caller"], labels["driver"]): value
                for name, labels, value in ((k[0], dict(k[1]), v) for k, v in samples.items())
                if name == "cma_caller_held_pages" and labels["area"] == AREA}

    def now(self, expected: dict[tuple[str, str], float]) -> dict[Sample, float]:
        """A scrape in which exactly these hold pages, and the sum is what the kernel says.

        A last close may be finished a little later than the system call that made it.
        """
        wait_for(lambda: self.held(self.serve.settled()) == expected)
        samples = self.serve.settled()
        assert self.held(samples) == expected
        known = {how: samples[key_of("cma_held_pages", area=AREA, allocation=how)]
                 for how in ("seen", "uncertain", "before", "missed")}
        assert known["seen"] == sum(expected.values())
        assert known["uncertain"] == known["missed"] == 0
        assert sum(known.values()) == self.area.debugfs("used")
        return samples


@pytest.fixture(scope="module")
def scene(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """BEFORE pages are allocated, then the exporter starts, then nothing more yet."""
    area = Area(AREA, patched)
    area.reset()
    assert area.alloc(BEFORE)
    holders = [Holder(name) for name in ("who-camera", "who-codec", "who-keeper")]
    try:
        with Serve(tmp_path_factory.mktemp("who"), "--stacks", "--buffers", "1s") as serve:
            yield Scene(serve, area, holders)
    finally:
        for holder in holders:
            holder.kill()
        area.reset()


def test_callers_are_named_with_their_pages_and_nobody_else(scene: Scene, tmp_path: Path) -> None:
    samples = scene.now({})
    assert samples[key_of("cma_held_pages", area=AREA, allocation="before")] == BEFORE

    begun = time.monotonic()
    fd = scene.camera("alloc", 16)
    assert fd.isdecimal(), fd
    assert scene.codec("alloc", 8).isdecimal()
    assert scene.codec("alloc", 4).isdecimal()
    assert scene.keeper("debugfs", 40) == "ok"
    assert scene.codec("free", 10) == "ok"  # releases part of it, from its front
    assert scene.keeper("alloc", 1 << 20) == "ENOMEM"
    samples = scene.now({("who-camera", HEAP): 16, ("who-codec", HEAP): 12,
                         ("who-keeper", DEBUGFS): 30})
    done = time.monotonic()
    labels = {"area": AREA, "kind": "process"}
    for caller, driver, allocs, pages, failures in (
            ("who-camera", HEAP, 1, 16, 0), ("who-codec", HEAP, 2, 12, 0),
            ("who-keeper", DEBUGFS, 1, 40, 0), ("who-keeper", HEAP, 0, 0, 1)):
        found = [samples[key_of(f"cma_caller_{name}_total", **labels, caller=caller,
                                driver=driver)]
                 for name in ("allocs", "alloc_pages", "alloc_failures")]
        assert found == [allocs, pages, failures], (caller, driver)
    callers = {dict(key[1])["caller"] for key in samples if key[0] == "cma_caller_allocs_total"}
    assert callers == {"who-camera", "who-codec", "who-keeper"}

    # The buffer goes to another process, and the one that asked for it is killed.
    path = tmp_path / "socket"
    scene.keeper.tell("receive", path)
    assert scene.camera("name", fd, "frame-1") == "ok"
    assert scene.camera("send", path, fd) == "ok"
    got = scene.keeper.answer()
    assert scene.keeper("map", got, 16) == "ok"
    scene.camera.kill()
    killed = time.monotonic()
    samples = scene.now({("who-camera", HEAP): 16, ("who-codec", HEAP): 12,
                         ("who-keeper", DEBUGFS): 30})
    age_s = samples[key_of("cma_caller_held_oldest_seconds", **labels, caller="who-camera",
                           driver=HEAP)]
    assert killed - done < age_s < time.monotonic() - begun
    page = os.sysconf("SC_PAGESIZE")

    def held_buffers(samples: dict[Sample, float]) -> dict[str, float]:
        return {dict(key[1])["process"]: value for key, value in samples.items()
                if key[0] == "cma_dmabuf_held_bytes"}

    # looked up once a second: what is shown may be from before the camera's end
    kept = wait_for(lambda: held_buffers(s := scene.serve.settled()) == {
        "who-keeper": 16 * page, "who-codec": 12 * page} and s)
    assert kept[key_of("cma_dmabufs", area=AREA)] == 3


def test_a_snapshot_names_holders_and_pages_without_probes(scene: Scene) -> None:
    data = json.loads(cli("snapshot", "--json"))
    area = next(one for one in data["areas"] if one["name"] == AREA)
    buffers = data["dmabufs"]["buffers"]
    assert [one["size_bytes"] // os.sysconf("SC_PAGESIZE") for one in buffers] == [16, 8, 4]
    frame = buffers[0]
    assert (frame["name"], frame["exporter"], frame["tie"]) == ("frame-1", AREA, "pages")
    # Python's mmap keeps a descriptor of its own
    assert frame["holders"] == [{"pid": scene.keeper.process.pid, "comm": "who-keeper",
                                 "fds": 2, "maps": 1}]
    assert (frame["references"], frame["kernel_references"]) == (3, 0)
    assert [[use["comm"] for use in one["holders"]] for one in buffers[1:]] == [["who-codec"]] * 2
    allocated = {pfn for first, pages in area["allocated_runs"]
                 for pfn in range(first, first + pages)}
    of_buffers = [pfn for one in buffers for pfn in range(one["run"][0], sum(one["run"]))]
    assert len(of_buffers) == len(set(of_buffers)) == 28
    assert allocated > set(of_buffers)


def test_a_killed_holder_holds_no_more_and_a_leak_stays(scene: Scene) -> None:
    scene.keeper.kill()
    samples = scene.now({("who-codec", HEAP): 12, ("who-keeper", DEBUGFS): 30})
    assert samples[key_of("cma_held_pages", area=AREA, allocation="before")] == BEFORE
    scene.codec.kill()
    scene.now({("who-keeper", DEBUGFS): 30})
    scene.area.free(35)
    samples = scene.now({})
    assert samples[key_of("cma_held_pages", area=AREA, allocation="before")] == BEFORE - 5


def test_the_recording_has_everything(scene: Scene) -> None:
    """Each run, caller and stack; the exporter's own report says the same."""
    scene.area.alloc(24)
    wait_for(lambda: scene.serve.settled()[key_of("cma_dmabufs", area=AREA)] == 0)
    assert scene.serve.stop(signal.SIGINT) == 0, scene.serve.output()
    assert "allocated before the observer came" in scene.serve.output()
    data = json.loads(cli("replay", str(scene.serve.recording), "--json"))
    holders = next(one for one in data["areas"] if one["name"] == AREA)["holders"]
    assert holders["exact"]
    assert holders["pages"] == {"seen": 24, "uncertain": 0, "before": BEFORE - 5, "missed": 0}
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row["comm"], row["driver"]): row for row in holders["callers"]}
    mine = Path("/proc/self/comm").read_text().strip()
    assert rows.keys() == {
        ("who-camera", HEAP), ("who-codec", HEAP), ("who-keeper", HEAP), ("who-keeper", DEBUGFS),
        (mine, DEBUGFS), ("", "")}
    assert rows[mine, DEBUGFS]["pid"] == os.getpid()
    assert rows[mine, DEBUGFS]["held_pages"] == 24
    assert rows["who-camera", HEAP]["pid"] == scene.camera.process.pid
    assert rows["who-keeper", HEAP]["failures"] == {"ENOMEM": 1}
    stack = rows["who-camera", HEAP]["stack"].split(";")
    assert stack[-1] == "cma_alloc"
    assert "dma_heap_ioctl" in stack
    assert sum(run[1] for run in holders["runs"]) == scene.area.debugfs("used")
    assert data["dmabufs"]["buffers"] == []
