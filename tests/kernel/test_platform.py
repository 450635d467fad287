# SPDX-License-Identifier: GPL-2.0
"""What befalls the whole machine: its tasks are frozen, its kernel oopses, it is locked down.

On the kernel of `deploy/kernel/build --flavour faults`: make test-faults. The order matters, since
only another boot unlocks the kernel.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.test_faults import allocations, exactly
from kernel.test_killed import kprobes, programs
from kernel.tools import CMAOBS, Area, Serve, cli, key_of, load, wait_for, written

pytestmark = [pytest.mark.kernel, pytest.mark.patched("faults")]
POWER = Path("/sys/power")
LOCKDOWN = Path("/sys/kernel/security/lockdown")
OOPS = Path("/sys/kernel/debug/provoke-crash/DIRECT")
PANIC = Path("/proc/sys/kernel/panic_on_oops")
ALLOCATIONS = 40


def through_the_heap(serve: Serve, count: int) -> None:
    """Make so many allocations without debugfs, and find so many."""
    before = serve.settled()
    load("--source", "heap", "--operations", str(count), "--rate", "0", "--sizes", "1,16",
         "--lifetime", "ops:0-3")
    after = serve.settled()
    assert allocations(after) - allocations(before) == count
    assert after[key_of("cmaobs_model_verdict", verdict="agree")] == 1


def oopses() -> int:
    """So many are in the kernel's log."""
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
    return log.count("---[ end trace")


@pytest.fixture
def oopses_are_survived() -> Iterator[None]:
    """The device takes an oops for its end otherwise."""
    with written(PANIC, "0"):
        yield


def test_tasks_are_frozen_and_thawed(area: Area, tmp_path: Path) -> None:
    """As before a suspend, and so long: the kernel's own test of it ends there after 5 s."""
    busy = subprocess.Popen(
        [*CMAOBS, "load", "--source", "debugfs", "--threads", "2", "--duration", "3600",
         "--rate", "20", "--sizes", "1,16", "--lifetime", "0-20"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Serve(tmp_path) as serve:
            moving = allocations(serve.settled())
            wait_for(lambda: allocations(serve.scrape()) > moving + 20)
            (POWER / "pm_test").write_text("freezer")
            began = time.monotonic()
            (POWER / "state").write_text("freeze")
            assert time.monotonic() - began > 4, "nothing was frozen"
            thawed = allocations(serve.settled())
            wait_for(lambda: allocations(serve.scrape()) > thawed + 20)
            busy.send_signal(signal.SIGTERM)
            busy.wait()
            exactly(area, serve, 6)
            assert serve.stop() == 0, serve.output()
    finally:
        (POWER / "pm_test").write_text("none")
        busy.kill()
        busy.wait()


def test_the_kernel_oopses_elsewhere(
        area: Area, oopses_are_survived: None, tmp_path: Path) -> None:
    with Serve(tmp_path) as serve:
        exactly(area, serve, 3)
        before = oopses()
        for what in ("BUG", "EXCEPTION"):
            ended = subprocess.run(["sh", "-c", f"exec tee {OOPS}"], input=what, text=True,
                                   stdout=subprocess.DEVNULL)
            assert ended.returncode < 0, f"{what} did not end its task"
        assert oopses() == before + 2
        exactly(area, serve, 3)
        assert serve.stop() == 0, serve.output()
    assert "verdict: diverge" not in cli("check", "--duration", "1s", status=None)


@pytest.mark.parametrize("level", ["integrity", "confidentiality"])
def test_the_kernel_is_locked_down(patched: bool, level: str, tmp_path: Path) -> None:
    """Who observes already goes on; who comes is told, where nothing may be traced any more."""
    if not LOCKDOWN.exists():
        subprocess.run(["mount", "-t", "securityfs", "none", str(LOCKDOWN.parent)], check=True)
    (tmp_path / "before").mkdir()
    with Serve(tmp_path / "before") as before:
        through_the_heap(before, ALLOCATIONS)
        LOCKDOWN.write_text(level)
        assert f"[{level}]" in LOCKDOWN.read_text()
        through_the_heap(before, ALLOCATIONS)
        assert before.stop() == 0, before.output()
    held, probed = programs(), kprobes()
    if level == "integrity":
        (tmp_path / "after").mkdir()
        with Serve(tmp_path / "after") as after:
            through_the_heap(after, ALLOCATIONS)
            assert after.stop() == 0, after.output()
        return
    for mounted in (True, False):
        if not mounted:
            subprocess.run(["umount", str(LOCKDOWN.parent)], check=True)
        for command in (["check", "--duration", "1s"], ["snapshot"]):
            done = subprocess.run([*CMAOBS, *command], capture_output=True, text=True)
            lines = done.stderr.splitlines()
            assert (done.returncode, len(lines)) == (2, 2), done.stderr
            assert lines[0].startswith("error: "), lines
            assert not mounted or "locked down" in lines[0]
    assert programs() == held
    assert kprobes() == probed
