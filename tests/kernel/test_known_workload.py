# SPDX-License-Identifier: GPL-2.0
"""A prime number of operations is found as exactly that many, wherever it is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmaobs.events import Kind, decode
from cmaobs.events import Path as Way
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch
from kernel.tools import AREA, WAYS, Area, Serve, cli, grown, key_of, load, vmstat, wait_for

pytestmark = pytest.mark.kernel

OPERATIONS = 997
COUNTED = ("cma_alloc_total", "cma_alloc_pages_total", "cma_release_total",
           "cma_release_pages_total", "cma_contig_total", "cma_defer_hits_total",
           "cma_defer_misses_total", "cma_defer_flushed_pages_total")
results: dict[str, dict[str, float]] = {}


@pytest.fixture(scope="module", params=[
    WAYS[0], *(pytest.param(way, marks=pytest.mark.patched("yes")) for way in WAYS[1:])])
def run(request: pytest.FixtureRequest, patched: bool,
        tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The seeded load, observed from before its first operation to after its last."""
    area = Area(AREA, patched)
    area.reset()
    with Serve(tmp_path_factory.mktemp(request.param), "--attach", request.param) as serve:
        yield Run(request.param, area, serve)


class Run:
    """What each witness says before and after the load."""

    def __init__(self, attach: str, area: Area, serve: Serve) -> None:
        self.attach, self.area, self.serve = attach, area, serve
        self.before, vm, ok = serve.settled(), vmstat(), area.sysfs("alloc_pages_success")
        self.summary = load("--operations", str(OPERATIONS), "--threads", "1", "--source",
                            "debugfs", "--rate", "0", "--seed", "7", "--lifetime", "0",
                            "--sizes", "1,4,16:4,64:2,256", "--area", AREA)
        # a reading is settled by the one after it
        decided = key_of("cmaobs_model_decided_total", area=AREA)
        target = self.before[decided] + 2 * OPERATIONS
        wait_for(lambda: serve.scrape()[decided] >= target)
        self.after = serve.settled()
        self.vm = vmstat()["cma_alloc_success"] - vm["cma_alloc_success"]
        self.sysfs_pages = area.sysfs("alloc_pages_success") - ok

    def total(self, name: str, **labels: str) -> int:
        """By how much the samples of a name grew, over all labels not given."""
        given = {("area", AREA), *labels.items()}
        return sum(int(value - self.before.get(key, 0)) for key, value in self.after.items()
                   if key[0] == name and given <= key[1])


def test_metrics_count_every_operation(run: Run) -> None:
    assert run.summary["allocations"]["succeeded"] == OPERATIONS
    granted = run.total("cma_alloc_total", path="contig") + \
        run.total("cma_alloc_total", path="defer_hit")
    assert granted == OPERATIONS
    assert run.total("cma_alloc_total", path="failed") == 0
    assert run.total("cma_release_total") == run.summary["releases"]["done"]
    assert run.total("cma_release_pages_total") == run.summary["pages"]["released"]
    assert run.total("cma_alloc_pages_total") == run.summary["pages"]["allocated"]
    assert run.total("cma_alloc_duration_seconds_count") == OPERATIONS


def test_the_kernels_own_counts_agree(run: Run) -> None:
    assert run.vm == OPERATIONS
    assert run.sysfs_pages == run.summary["pages"]["allocated"]
    assert run.total("cma_kernel_alloc_pages_total", result="success") == run.sysfs_pages


def test_paths_fit_the_kernel(run: Run, patched: bool) -> None:
    hits = run.total("cma_alloc_total", path="defer_hit")
    if patched:
        assert hits > OPERATIONS / 4, "the load was made to hit"
        assert run.total("cma_defer_hits_total") == hits
        assert run.total("cma_release_total", kind="deferred") == OPERATIONS
    else:
        assert hits == 0
        assert run.total("cma_release_total", kind="direct") == OPERATIONS
        names = {name for name, _ in run.after}
        assert not [name for name in names if name.startswith("cma_defer")]


def test_nothing_was_lost_and_the_model_agrees(run: Run) -> None:
    assert sum(v for k, v in run.after.items() if k[0] == "cmaobs_losses_total") == 0
    assert run.after[key_of("cmaobs_counts_mismatched_total")] == 0
    assert run.after[key_of("cmaobs_counts_compared_total")] > 0
    assert run.after[key_of("cmaobs_model_verdict", verdict="agree")] == 1
    decided = grown(run.before, run.after, "cmaobs_model_decided_total", area=AREA)
    assert decided == 2 * OPERATIONS, "every allocation and release was compared"


def test_recording_has_every_operation(run: Run) -> None:
    """Ends the exporter: the last test of a run that needs it."""
    assert run.serve.stop() == 0, run.serve.output()
    assert "verdict: agree" in run.serve.output()
    kinds: Counter[int] = Counter()
    ways: Counter[int] = Counter()
    for step in RecordingSource(run.serve.recording).steps():
        if isinstance(step, Batch):
            for record in decode(step.data):
                kinds[record.kind] += 1
                ways[record.path] += 1
    assert kinds[Kind.ALLOC] == OPERATIONS
    assert kinds[Kind.RELEASE] == OPERATIONS
    assert ways[Way.HIT] == run.total("cma_alloc_total", path="defer_hit")
    report = json.loads(cli("replay", str(run.serve.recording), "--json"))
    assert report["verdict"]["outcome"] == "agree"
    replayed = cli("replay", str(run.serve.recording), "--metrics")
    for path in ("contig", "defer_hit"):
        value = run.total("cma_alloc_total", path=path)
        if value:
            assert f'cma_alloc_total{{area="{AREA}",path="{path}"}} {float(value)}' in replayed
    results[run.attach] = {f"{name} {sorted(labels)}": value - run.before.get((name, labels), 0)
                           for (name, labels), value in run.after.items() if name in COUNTED}


@pytest.mark.patched("yes")
def test_all_ways_to_attach_count_the_same() -> None:
    assert set(results) == set(WAYS)
    for counted in results.values():
        assert len(counted) >= 6
        assert counted == results["kprobe"]


def test_a_recording_survives_a_cut(run: Run, tmp_path: Path) -> None:
    """A recording of the live kernel, cut anywhere, is read up to its last whole chunk."""
    whole = run.serve.recording.read_bytes()
    cut = tmp_path / "cut.cmarec"
    cut.write_bytes(whole[:len(whole) // 2])
    assert "verdict:" in cli("replay", str(cut), status=None)
