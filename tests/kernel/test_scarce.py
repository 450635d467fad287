# SPDX-License-Identifier: GPL-2.0
"""Memory and descriptors run out, for others or for the observer: what it said stays true."""

from __future__ import annotations

import mmap
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.test_faults import exactly
from kernel.test_killed import kprobes, programs
from kernel.tools import CMAOBS, PATIENCE_S, Area, Serve, cli, load, vmstat, wait_for, written

pytestmark = [pytest.mark.kernel, pytest.mark.long]
BITE = 1 << 20  # bytes
EATS = f"held = []\nwhile True: held.append(bytearray(b'x') * {BITE << 3})"


@pytest.fixture
def last_of_all() -> Iterator[None]:
    """The kernel kills everybody else for memory before this process."""
    with written(Path("/proc/self/oom_score_adj"), "-900"):
        yield


def test_another_process_is_killed_for_memory(area: Area, serve: Serve) -> None:
    killed = vmstat()["oom_kill"]
    exactly(area, serve, 5)
    glutton = subprocess.Popen(
        [sys.executable, "-c", f"open('/proc/self/oom_score_adj', 'w').write('1000')\n{EATS}"])
    assert glutton.wait(PATIENCE_S) == -signal.SIGKILL
    assert vmstat()["oom_kill"] > killed
    assert serve.process.poll() is None, serve.output()
    exactly(area, serve, 5)


def test_the_observer_is_killed_for_memory(area: Area, last_of_all: None, tmp_path: Path) -> None:
    held, probed, killed = programs(), kprobes(), vmstat()["oom_kill"]
    (tmp_path / "first").mkdir()
    with Serve(tmp_path / "first") as first:
        load("--source", "debugfs", "--operations", "60", "--rate", "0", "--sizes", "1,16")
        first.settled()
        Path(f"/proc/{first.process.pid}/oom_score_adj").write_text("1000")
        eaten = []
        while vmstat()["oom_kill"] == killed:  # after that another process would be next
            eaten.append(mmap.mmap(-1, BITE))
            for page in range(0, BITE, mmap.PAGESIZE):
                eaten[-1][page] = 1
        for one in eaten:
            one.close()
        assert first.stop() == -signal.SIGKILL
    assert vmstat()["oom_kill"] == killed + 1
    wait_for(lambda: programs() == held and kprobes() == probed)
    assert "verdict: diverge" not in cli("replay", str(first.recording), status=None)
    (tmp_path / "second").mkdir()
    with Serve(tmp_path / "second") as second:
        exactly(area, second, 5)
        assert second.stop() == 0, second.output()


@pytest.mark.parametrize("limit", ["nofile=16", "as=150000000"])
def test_a_limit_of_the_process_is_one_line(area: Area, limit: str, tmp_path: Path) -> None:
    """Too few descriptors for the probes, too little memory for the compiler."""
    held, probed = programs(), kprobes()
    done = subprocess.run(["env", f"CMAOBS_OBJECTS={tmp_path}", "prlimit", f"--{limit}", *CMAOBS,
                           "check", "--duration", "1s"], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, 2), done.stderr
    assert lines[0].startswith("error: "), lines
    assert "Traceback" not in done.stderr
    wait_for(lambda: programs() == held and kprobes() == probed)


def test_a_limit_of_file_size_ends_the_recording_only(area: Area, tmp_path: Path) -> None:
    with Serve(tmp_path) as serve:
        subprocess.run(["prlimit", "--pid", str(serve.process.pid), "--fsize=60000"], check=True)
        wait_for(lambda: "recording" in serve.output().partition("http")[2])
        exactly(area, serve, 5)
        assert serve.stop() == 0, serve.output()
    assert serve.recording.stat().st_size <= 60000
    out = cli("replay", str(serve.recording), status=None)
    assert "verdict: diverge" not in out
