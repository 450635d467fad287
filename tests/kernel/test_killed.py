# SPDX-License-Identifier: GPL-2.0
"""An observer that is killed under load leaves nothing behind, and can start again."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from kernel.tools import (
    AREA,
    CMAOBS,
    PATIENCE_S,
    WAYS,
    Area,
    Sample,
    Serve,
    cli,
    grown,
    key_of,
    wait_for,
)

pytestmark = pytest.mark.kernel


def programs() -> set[int]:
    """Ids of the BPF programs that the kernel holds."""
    out = subprocess.run(["bpftool", "--json", "prog", "list"], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {program["id"] for program in json.loads(out)}


def kprobes() -> set[str]:
    """Functions with a kprobe."""
    lines = Path("/sys/kernel/debug/kprobes/list").read_text().splitlines()
    return {line.split()[2].split("+")[0] for line in lines}


def asked(samples: dict[Sample, float]) -> float:
    """Allocations, and those that failed."""
    return sum(value for (name, _), value in samples.items() if name == "cma_alloc_total")


@pytest.mark.parametrize("attach", [
    WAYS[0], *(pytest.param(way, marks=pytest.mark.long) for way in WAYS[1:])])
def test_kill_under_load_and_start_again(area: Area, tmp_path: Path, attach: str) -> None:
    (tmp_path / "before").mkdir()
    with Serve(tmp_path / "before", "--attach", attach):
        pass  # compiles while it is quiet
    held, probed = programs(), kprobes()
    busy = subprocess.Popen(
        [*CMAOBS, "load", "--source", "debugfs", "--threads", "3", "--duration", "36000",
         "--rate", "30", "--sizes", "1,16,64", "--lifetime", "0-20"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = Serve(tmp_path, "--attach", attach)
        with first:
            wait_for(lambda: asked(first.scrape()) > 50)
            assert programs() > held
            assert (kprobes() > probed) == (attach == "kprobe")
            assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: programs() == held and kprobes() == probed)

        out = cli("replay", str(first.recording), status=None)
        assert "cut" in out or "end" in out
        assert "verdict: diverge" not in out

        (tmp_path / "again").mkdir()
        with Serve(tmp_path / "again", "--attach", attach) as again:
            first_seen = again.settled()
            assert first_seen[key_of("cmaobs_compile_duration_seconds")] == 0, "it was compiled"
            after = wait_for(lambda: asked(s := again.settled()) > 0 and s)
            assert grown(first_seen, after, "cma_alloc_duration_seconds_count",
                         area=AREA, path="contig") >= 0
            assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
            busy.send_signal(signal.SIGTERM)
            busy.wait(PATIENCE_S)
            again.settled()
            assert again.stop() == 0, again.output()
            assert "verdict: agree" in again.output()
    finally:
        busy.kill()
        busy.wait()
