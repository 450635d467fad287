# SPDX-License-Identifier: GPL-2.0
"""Evidence of a defect on a live kernel: the file, what replay and explain make of it, and stacks.

Runs on the kernel of `deploy/kernel/build --series defects`: --patched defects.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.tools import AREA, CMAOBS, PATIENCE_S, WAYS, Area, cli
from kernel.workloads import BATCH, switch

pytestmark = [pytest.mark.kernel, pytest.mark.patched("defects")]


@pytest.fixture
def mended(patched: bool) -> Iterator[Area]:
    """The area in a lawful state, and again afterwards."""
    area = Area(AREA, patched)

    def mend() -> None:
        switch("mend")
        area.free(1 << 20)
        switch("empty")
        area.batch(0)
        area.batch(BATCH)

    mend()
    yield area
    mend()


def while_observed(command: tuple[str, ...], defects: tuple[str, ...], area: Area,
                   begun: str) -> tuple[int, str]:
    """Exit status and output of a command that observes some load with each of the defects on."""
    with subprocess.Popen([*CMAOBS, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(begun in line for line in lines), "it ended before it began"
        for defect in defects:
            switch(defect)
            some_load(area)
        switch("none")
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert "Traceback" not in process.stderr.read()
        return process.wait(PATIENCE_S), out


def some_load(area: Area) -> None:
    """Two threads at a time, then blocks that a scan takes in part; with time to be read."""
    def pairs() -> None:
        for size in (4, 8, 16) * 10:
            area.alloc(size)
            area.free(size)

    for _ in range(4):
        threads = [threading.Thread(target=pairs) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):
            area.alloc(8)
        area.free(24)
        area.scan(20)
        area.alloc(2)
        area.free(1 << 20)
        time.sleep(0.5)


def replayed(path: str, *arguments: str) -> dict[str, Any]:
    """The verdict of a file; its exit status must be that of a divergence."""
    data: dict[str, Any] = json.loads(cli("replay", path, "--json", *arguments, status=1))
    verdict: dict[str, Any] = data["verdict"]
    return verdict


@pytest.mark.parametrize(("defect", "attach", "rules"), [
    ("scan-returns-0", WAYS[0], {"R9"}), ("hit-recounted", "kprobe", {"R5", "R10"})])
def test_a_defect_leaves_evidence(mended: Area, tmp_path: Path, defect: str, attach: str,
                                  rules: set[str]) -> None:
    directory = tmp_path / "evidence"
    status, out = while_observed(
        ("check", "--evidence", str(directory), "--duration", "10m", "--interval", "200ms",
         "--attach", attach, "--json"), ("none", defect), mended, "observing")
    data = json.loads(out)
    verdict = data["verdict"]
    assert (status, verdict["outcome"]) == (1, "diverge"), (verdict, data["losses"])
    assert data["stacks"] > 1
    assert data["stacks_failed"] == 0
    kept = [one for one in verdict["divergences"] if one["evidence"]]
    assert verdict["divergences"][0]["evidence"]
    assert {one["rule"] for one in kept} <= rules
    assert {Path(one["evidence"]) for one in kept} == set(directory.iterdir())
    for one in kept:
        again = replayed(one["evidence"])
        assert (one["rule"], one["pages"], one["expected"], one["observed"]) in [
            (d["rule"], d["pages"], d["expected"], d["observed"]) for d in again["divergences"]]
    first = kept[0]
    print(told := cli("explain", first["evidence"], "--html", str(tmp_path / "a.html"), status=1))
    assert f"{first['rule']} was broken in area {AREA}" in told
    assert "reproduces" not in told
    assert max(map(len, told.split("\nverdict")[0].split("\nlater")[0].splitlines()[2:])) <= 80
    assert "<svg" in (tmp_path / "a.html").read_text()
    stacks = {op["kind"]: op["stack"] for op in first["operations"]}
    assert len(stacks) > 1
    for kind, function, caller in (("alloc", "cma_alloc", "cma_alloc_write"),
                                   ("release", "cma_release", "cma_free_"),
                                   ("scan", "cma_defer_free_scan", "shrinker_debugfs_scan_write")):
        if kind in stacks:
            names = [frame.split("+")[0] for frame in stacks[kind]]
            assert names[0] == function, names
            assert any(name.startswith(caller) for name in names), names
    assert "alloc" in stacks
    assert "cma_alloc_write+0x" in told


@pytest.mark.parametrize(("defect", "policy"), [("release-merges", "rfc,merge"),
                                                ("scan-oldest-first", "rfc,oldest-first")])
def test_another_implementation_agrees_under_its_own_policy(
        mended: Area, tmp_path: Path, defect: str, policy: str) -> None:
    path = str(tmp_path / "a.cmarec")
    status, _ = while_observed(
        ("record", "-o", path, "--interval", "200ms"), (defect,), mended, "recording to")
    assert status == 0
    assert replayed(path)["outcome"] == "diverge"
    data = json.loads(cli("replay", path, "--json", "--policy", policy))
    assert data["verdict"]["outcome"] == "agree"
    area, = [area for area in data["areas"] if area["name"] == AREA]
    assert area["decided"] > 100
    assert area["rests"] > 3
