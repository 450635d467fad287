# SPDX-License-Identifier: GPL-2.0
"""The smallest trial on a live kernel, and the report of it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cmaobs.cli import main
from cmaobs.study import manifest
from kernel.tools import AREA, PATIENCE_S, Area

pytestmark = pytest.mark.kernel

# With more patience for a run, and for what every task does at the beginning, than a user has.
TRIAL = [sys.executable, "-c", f"""
import sys
from cmaobs.kernel import session
from cmaobs.trial import __main__ as command, worker
session._LOOKS_S = worker._LIMIT_S = {PATIENCE_S}
sys.exit(command.main())
""", "--scale", "least"]


@pytest.mark.patched("yes")
def test_batch_0_is_compared_with_batch_64(area: Area, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    before = area.sysfs("batch")
    done = subprocess.run([*TRIAL, "-o", tmp_path / "runs"], capture_output=True, text=True,
                          timeout=4 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no terminal, no progress
    assert area.sysfs("batch") == before
    assert area.debugfs("used") == 0
    made = manifest.load(tmp_path / "runs" / manifest.NAME)
    assert [run.batch for run in made.runs].count(0) == 2
    assert len(made.runs) == 4
    assert made.host["area"].startswith(f"{AREA}, ")
    said = _in_process(capsys, "report", tmp_path / "runs" / manifest.NAME, "-o",
                       tmp_path / "report")
    assert said == ""
    with (tmp_path / "report" / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for batch in (0, 64):
        runs = [run for run in made.runs if run.batch == batch]
        _is_what_replay_says(rows, batch, runs, [
            json.loads(_in_process(capsys, "replay", tmp_path / "runs" / run.recording, "--json"))
            for run in runs])
    ratio, = (row for row in rows if row["table"] == "ratio" and row["statistic"] == "mean"
              and row["operation"] == "alloc")
    assert (ratio["batch"], ratio["against"], ratio["runs"]) == ("64", "0", "2")


def _in_process(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What `cmaobs ARGUMENTS` prints; Python takes seconds to start under emulation."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def _is_what_replay_says(rows: list[dict[str, str]], batch: int, runs: list[manifest.Run],
                         said: list[dict[str, object]]) -> None:
    """The report's numbers of a batch, against the recordings and what the load did."""
    areas = [next(a for a in one["areas"] if a["name"] == AREA) for one in said]
    hits = [a["allocations"]["hit"] for a in areas]
    assert (sum(hits) > 0) == (batch > 0)
    for run, one, found in zip(runs, said, areas, strict=True):
        assert one["verdict"]["outcome"] == "agree", one["verdict"]
        assert sum(one["losses"].values()) == 0
        assert found["allocations"]["hit"] + found["allocations"]["contig"] \
            == run.load["allocations"]["succeeded"] == run.operations
        assert run.vmstat["cma_alloc_success"][1] - run.vmstat["cma_alloc_success"][0] \
            == run.operations
    mine = [row for row in rows if row["batch"] == str(batch)]
    ratio, = (row for row in mine if row["table"] == "hits")
    shares = sorted(n / run.operations for n, run in zip(hits, runs, strict=True))
    assert [float(ratio["low"]), float(ratio["high"])] == shares
    kinds = [kind for kind in ("alloc_hit", "alloc_contig", "release_deferred", "release_direct")
             if any(kind in a["latency"] for a in areas)]
    assert len(kinds) >= 2 + (batch > 0)
    for kind in ("alloc_hit", "alloc_contig"):
        of = [a["latency"][kind] for a in areas if kind in a["latency"]]
        found = [row for row in mine if row["table"] == "latency" and row["operation"] == kind]
        assert len(found) == (4 if of else 0)
        if of:
            mean = next(row for row in found if row["statistic"] == "mean")
            means = sorted(one["mean_s"] for one in of)
            assert [float(mean["low"]), float(mean["high"])] == [means[0], means[-1]]
            assert int(mean["operations"]) == sum(one["count"] for one in of)


@pytest.mark.patched("no")
def test_a_kernel_that_does_not_defer_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([*TRIAL, "-o", tmp_path / "runs"], capture_output=True, text=True,
                          timeout=PATIENCE_S)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert "batch is missing" in first
    assert "patch series" in second
    assert not (tmp_path / "runs").exists()
