# SPDX-License-Identifier: GPL-2.0
"""Many threads at once: whatever the verdict says, it must not cry wolf."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from cmaobs import wire
from cmaobs.events import Kind, decode
from cmaobs.kernel.session import Options, Session
from cmaobs.source import Batch
from cmaobs.state import Reading
from kernel.tools import (
    AREA,
    PATIENCE_S,
    WAYS,
    Area,
    Sample,
    Serve,
    cli,
    grown,
    key_of,
    load,
    wait_for,
)
from kernel.watch import look_around

pytestmark = pytest.mark.kernel
_TRIES = 5


def held_up(samples: dict[Sample, float]) -> float:
    """Operations undecided since this machine had stopped a processor of the guest for long."""
    return sum(samples.get(key_of("cmaobs_model_undecided_total", area=AREA, reason=reason), 0)
               for reason in ("the clock went back", "delivered late"))


def test_threads_pressure_and_scans_agree(area: Area, tmp_path: Path, patched: bool) -> None:
    extra = ["--scan", "16-256", "--scan-rate", "20", "--batch", "0,16,64",
             "--batch-rate", "1"] if patched else []
    with Serve(tmp_path) as serve:
        before: dict[Sample, float] = {}
        for _ in range(_TRIES):
            summary = load("--source", "debugfs", "--threads", "8", "--rate", "25",
                           "--operations", "900", "--sizes", "1,4,16,64,256",
                           "--lifetime", "0-40", "--share", "90", "--reserve", "0", "--area", AREA,
                           *extra)
            serve.settled()
            after = serve.settled()
            assert summary["allocations"]["succeeded"] > 500, summary
            if held_up(after) == held_up(before):
                break
            before = after
        assert serve.stop() == 0, serve.output()
    report = json.loads(cli("replay", str(serve.recording), "--json"))
    assert report["verdict"]["outcome"] == "agree"
    assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
    seen = grown(before, after, "cmaobs_model_operations_total", area=AREA)
    decided = grown(before, after, "cmaobs_model_decided_total", area=AREA)
    # both ends of an operation, and calls inside a burst that no reading has settled yet
    assert decided > 0.95 * seen > 1000


def test_buffers_of_a_dma_heap(area: Area, tmp_path: Path) -> None:
    """What a camera or a codec does."""
    assert os.path.exists(f"/dev/dma_heap/{AREA}")
    with Serve(tmp_path) as serve:
        summary = load("--source", "heap", "--operations", "211", "--threads", "4",
                       "--rate", "0", "--sizes", "16,64", "--lifetime", "0-5")
        after = serve.settled()
        assert serve.stop() == 0, serve.output()
    granted = sum(v for k, v in after.items()
                  if k[0] == "cma_alloc_total" and ("path", "failed") not in k[1])
    assert granted == summary["allocations"]["succeeded"] == 211


class Crowded(Session):
    """All threads want the same slot."""

    def __init__(self, attach: str) -> None:
        super().__init__(Options(attach=attach, slots=1))  # type: ignore[arg-type]

    def beside(self) -> set[int]:
        """Threads that are followed without it."""
        return set(self._maps.keys(self._loaded.maps["threads"]))

    def claims(self) -> int:
        """Threads that have it."""
        found = self._maps.lookup(self._loaded.maps["slots"], 0, wire.size("cmaobs_thread"))
        assert found
        at = wire.offset("cmaobs_thread", "claims")
        return int.from_bytes(found[at:at + 8], "little")


@pytest.mark.parametrize("attach", [
    WAYS[0], *(pytest.param(way, marks=pytest.mark.long) for way in WAYS[1:])])
def test_threads_that_want_one_slot(area: Area, attach: str) -> None:
    """Each is followed, all is counted, and nothing is left of those that have ended."""
    files = f"/sys/kernel/debug/cma/{AREA}"
    stays = f"echo 1 > {files}/alloc && echo 1 > {files}/free && echo done && read forever"
    session = Crowded(attach)
    try:
        look_around(session)
        crowd = [subprocess.Popen(["sh", "-c", stays], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) for _ in range(5)]
        for one in crowd:
            assert one.stdout
            assert one.stdout.readline() == b"done\n"
        assert session.claims() == 1
        assert len(session.beside() & {one.pid for one in crowd}) == 4
        for one in crowd:
            one.communicate(b"\n", timeout=PATIENCE_S)
        wait_for(lambda: not session.beside() & {one.pid for one in crowd})
        wait_for(lambda: session.claims() == 0)
        steps = list(session.finish())
        kinds = [record.kind for step in steps if isinstance(step, Batch)
                 for record in decode(step.data)]
        reading = next(step for step in reversed(steps) if isinstance(step, Reading))
    finally:
        session.close()
    assert [kinds.count(kind) for kind in (Kind.ALLOC, Kind.RELEASE)] == [5, 5]
    counted = next(one.counters for one in reading.counts if one.facts.name == AREA)
    assert counted["allocs_hit"] + counted["allocs_contig"] == 5
    assert counted["releases_deferred"] + counted["releases_direct"] == 5
    assert not {kind: lost for kind, lost in reading.losses.counts.items() if lost}
