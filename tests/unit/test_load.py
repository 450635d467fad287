# SPDX-License-Identifier: GPL-2.0
"""The load maker, on a tree of files in place of a kernel's."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from cmaobs.errors import UnsupportedError
from cmaobs.load import cli, maker, targets
from cmaobs.load.area import Area, find
from cmaobs.load.plan import Lifetimes, Request, Sizes, requests
from cmaobs.load.worker import Worker

PAGES = 4096


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two areas, as 6.1 shows them with the patch series."""
    for name, order in (("reserved", 0), ("codec", 2)):
        debugfs = tmp_path / "sys/kernel/debug/cma" / name
        debugfs.mkdir(parents=True)
        values = {"count": PAGES, "used": 0, "order_per_bit": order, "alloc": "", "free": ""}
        for file, value in values.items():
            (debugfs / file).write_text(f"{value}")
        scan = tmp_path / "sys/kernel/debug/shrinker" / f"cma-shadow:{name}-7" / "scan"
        scan.parent.mkdir(parents=True)
        scan.touch()
        batch = tmp_path / "sys/kernel/mm/cma" / name / "batch"
        batch.parent.mkdir(parents=True)
        batch.write_text("32\n")
    meminfo = tmp_path / "proc/meminfo"
    meminfo.parent.mkdir()
    meminfo.write_text("MemTotal: 1000000 kB\nMemAvailable: 250000 kB\nCmaTotal: 32768 kB\n")
    return tmp_path


def load(tree: Path, *args: str) -> int:
    return cli.main(["--root", str(tree), "--rate", "0", "--lifetime", "0-2", *args])


def written(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]


class Kernel:
    """A target that counts, and refuses what it is told to."""

    def __init__(self, refuse: Callable[[int], bool] = lambda _: False) -> None:
        self.lock = threading.Lock()
        self.refuse = refuse
        self.held: dict[int, int] = {}
        self.most = 0
        self.asked: list[int] = []

    def alloc(self, pages: int) -> int:
        with self.lock:
            self.asked.append(pages)
            if self.refuse(len(self.asked)):
                raise OSError(errno.ENOMEM, "no")
            self.held[len(self.asked)] = pages
            self.most = max(self.most, sum(self.held.values()))
            return len(self.asked)

    def release(self, handle: int) -> int:
        with self.lock:
            return self.held.pop(handle)

    def close(self) -> None:
        assert not self.held


@pytest.mark.parametrize("slow", [0.0, 0.002])
def test_lifetimes_in_allocations_do_not_depend_on_time(
        tree: Path, monkeypatch: pytest.MonkeyPatch, slow: float) -> None:
    """What is held when is the same on a fast and a slow kernel."""
    order: list[int] = []
    kernel = Kernel()
    release = kernel.release

    def late(handle: int) -> int:
        time.sleep(slow)
        order.append(handle)
        return release(handle)

    monkeypatch.setattr(kernel, "release", late)
    monkeypatch.setattr(targets, "make", lambda *_: ("heap", kernel))
    summary = maker.Maker(maker.Settings(
        root=tree, threads=1, operations=50, rate=0, share=100, sizes=Sizes.parse("1-8"),
        lifetimes=Lifetimes.parse("ops:0-3"))).run()
    assert summary["complete"]
    assert summary["releases"] == {"done": 50, "early": 0, "failed": {}}
    plan = list(islice(requests(1, 0, Sizes.parse("1-8"), Lifetimes.parse("ops:0-3")), 50))
    due = sorted((n + one.lifetime, n) for n, one in enumerate(plan, start=1))
    assert order == [n for _, n in due]
    assert {one.lifetime for one in plan} == {0, 1, 2, 3}


@pytest.mark.parametrize("threads", [1, 4])
def test_exactly_so_many_operations(
    tree: Path, threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(tree, "--operations", "997", "--threads", str(threads), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    debugfs = tree / "sys/kernel/debug/cma/reserved"
    allocated, freed = written(debugfs / "alloc"), written(debugfs / "free")
    assert summary["allocations"] == {"attempted": 997, "succeeded": 997, "failed": {}}
    assert summary["releases"]["done"] == len(freed) == len(allocated) == 997
    assert summary["pages"]["allocated"] == summary["pages"]["released"] == sum(allocated)
    assert sum(freed) == sum(allocated)
    assert summary["complete"]
    assert summary["source"] == "debugfs"


def test_never_more_than_the_share(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    monkeypatch.setattr(targets, "make", lambda *_: ("heap", kernel))
    settings = maker.Settings(
        root=tree, threads=4, operations=400, rate=0, share=10, sizes=Sizes.parse("1-64"),
        lifetimes=Lifetimes(5.0, 5.0),
    )  # fmt: skip
    summary = maker.Maker(settings).run()
    assert len(kernel.asked) == 400
    assert 0 < kernel.most <= PAGES * 10 // 100
    assert summary["pages"]["peak"] <= PAGES * 10 // 100
    assert summary["releases"]["early"] > 0
    assert not kernel.held


def test_a_refusal_is_counted_and_not_released(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(refuse=lambda n: n % 5 == 0)
    monkeypatch.setattr(targets, "make", lambda *_: ("heap", kernel))
    settings = maker.Settings(root=tree, threads=2, operations=100, rate=0)
    summary = maker.Maker(settings).run()
    assert summary["allocations"]["failed"] == {"ENOMEM": 20}
    assert summary["releases"]["done"] == summary["allocations"]["succeeded"] == 80


def test_the_last_free_part_is_left_to_others(tree: Path) -> None:
    (tree / "sys/kernel/debug/cma/reserved/used").write_text(f"{PAGES * 3 // 4 + 1}\n")
    settings = maker.Settings(root=tree, operations=5, rate=0, duration=2.0)
    summary = maker.Maker(settings).run()
    assert summary["allocations"]["attempted"] == 0
    assert not summary["complete"]
    assert summary["paused_s"] > 0


def test_being_told_to_stop_releases_everything() -> None:
    kernel, stop = Kernel(), threading.Event()

    def endless() -> bool:
        if len(kernel.asked) == 20:
            stop.set()
        return True

    plan = (Request(8, 1000.0) for _ in iter(int, 1))
    worker = Worker(kernel, plan, 10_000, 0.0, stop, endless)
    worker.run()
    assert worker.fault is None
    assert len(kernel.asked) == 21
    assert worker.done.releases == 21
    assert not kernel.held


def test_knobs_are_turned_and_put_back(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--duration", "3", "--scan", "64", "--scan-rate", "50", "--batch", "0,16"]
    assert load(tree, *args, "--batch-rate", "20", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["scans"]["done"] > 0
    assert summary["scans"]["pages_asked"] == 64 * summary["scans"]["done"]
    assert summary["batch_changes"]["done"] > 0
    scan = tree / "sys/kernel/debug/shrinker/cma-shadow:reserved-7/scan"
    assert scan.read_text() == "0 0 64"
    assert (tree / "sys/kernel/mm/cma/reserved/batch").read_text() == "32\n"


def test_pressure_stops_at_the_floor(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # MemAvailable of the tree is constant and below the floor: nothing is filled.
    assert load(tree, "--duration", "0.3", "--pressure", "anon", "--floor", "300M", "--json") == 0
    told = json.loads(capsys.readouterr().out)["pressure"]
    assert told["filled"] == 0
    assert told["ended"] == "as told"


def test_leftovers_are_released(tree: Path) -> None:
    assert load(tree, "--area", "codec", "--release-leftover") == 0
    assert written(tree / "sys/kernel/debug/cma/codec/free") == [PAGES]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--area", "nope"], "no area 'nope'"),
        (["--sizes", "2000"], "2000 pages are more than a thread's share of 512"),
        (["--source", "heap"], "area reserved has no dma-buf heap"),
        (["--batch", "9999"], "a batch of 9999 is more than the area's 4096"),
        (["--batch", "-1"], "argument --batch: invalid list of pages"),
        (["--threads", "0"], "argument --threads: invalid number value: '0'"),
        (["--rate", "nan"], "argument --rate: invalid rate value: 'nan'"),
        (["--pressure", "anon", "--floor", "1M"], "leaves too little for the system"),
        (["--lifetime", "long"], "'long' is not a lifetime in ms"),
    ],
)
def test_what_cannot_be_is_one_line_and_a_remedy(
    tree: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(tree, "--duration", "0.1", *args) == 2
    error, remedy = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert remedy.startswith("  remedy: ")


@pytest.mark.parametrize(("names", "chosen"), [
    (["camera", "reserved"], "reserved"), (["camera@4c000000", "linux,cma"], "linux,cma")])
def test_the_default_area(tmp_path: Path, names: list[str], chosen: str) -> None:
    """By the name that it has where the command line, or a device tree, makes it."""
    for name in names:
        (tmp_path / "sys/kernel/mm/cma" / name).mkdir(parents=True)
    heap = tmp_path / "dev/dma_heap/default_cma_region"
    heap.mkdir(parents=True)
    area = find(tmp_path, None)
    assert (area.name, area.heap) == (chosen, heap)


def test_no_area_and_no_shrinker(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no CMA area"):
        find(tmp_path, None)
    with pytest.raises(UnsupportedError, match="no shrinker of area reserved"):
        _ = Area(tmp_path, "reserved", None).scan
