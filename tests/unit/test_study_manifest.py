# SPDX-License-Identifier: GPL-2.0
"""The manifest of a trial: as written in the device, and whatever else a file may hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden.cli import ROOT, run

from cmaobs.errors import UsageError
from cmaobs.study import manifest

TRIAL = ROOT / "tests" / "fixtures" / "trial"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A copy of what a trial left, to be spoilt."""
    return Path(shutil.copytree(TRIAL, tmp_path / "trial"))


def test_it_is_written_as_it_was_read(trial: Path) -> None:
    made = manifest.load(trial / manifest.NAME)
    assert len(made.runs) == 4
    assert json.loads(made.dump()) == json.loads((trial / manifest.NAME).read_text())


def test_a_recording_that_is_missing_is_named(trial: Path) -> None:
    (gone := sorted(trial.glob("*.cmarec"))[1]).unlink()
    with pytest.raises(UsageError) as error:
        manifest.load(trial / manifest.NAME)
    assert repr(gone.name) in error.value.message
    done = run("report", trial / manifest.NAME, "-o", trial / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 2


def spoilt(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def spoil(text: str) -> str:
        value = json.loads(text)
        change(value)
        return json.dumps(value)
    return spoil


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda text: text[:-20], "is not a manifest"),
    (lambda _: "", "is not a manifest"),
    (lambda _: "[]", "format is not 1"),
    (lambda _: "[" * 100_000, "is not a manifest"),
    (spoilt(lambda v: v.update(format=2)), "format is not 1"),
    (spoilt(lambda v: v.pop("host")), "host is missing"),
    (spoilt(lambda v: v.update(runs={})), "runs is missing"),
    (spoilt(lambda v: v["runs"].append(1)), "runs[4]: not an object"),
    (spoilt(lambda v: v["runs"][2].pop("batch")), "runs[2]: batch is missing"),
    (spoilt(lambda v: v["runs"][0].update(batch=True)), "runs[0]: batch is missing, or is not"),
    (spoilt(lambda v: v["runs"][0].update(seconds="1")), "runs[0]: seconds is missing, or is not"),
    (spoilt(lambda v: v["runs"][0]["vmstat"].update(pgscan_kswapd=[1])), "not pairs of numbers"),
    (spoilt(lambda v: v["runs"][0].update(recording="../x")), "not the name of a file beside"),
    (spoilt(lambda v: v["runs"][0].update(recording="x\u0000y")), "which is not beside it"),
    (spoilt(lambda v: v["runs"][3].update(seconds=0)), "runs[3]: seconds is not above 0"),
    (spoilt(lambda v: v["runs"][3].update(seconds=float("nan"))), "seconds is not above 0"),
    (spoilt(lambda v: v["runs"][1]["load"].update(pressure=[])), "pressure is not what it should"),
    (spoilt(lambda v: v["runs"][1]["load"].update(pressure={"refilled": 1, "refilling_s": "x"})),
     "pressure is not what it should"),
    (spoilt(lambda v: v["instructions"].append({"boot": 1, "batch": 0, "operation": "alloc",
                                                "pages": 1, "instructions": []})), "not a list"),
])
def test_what_is_no_manifest_is_one_line(trial: Path, spoil: Callable[[str], str],
                                         message: str) -> None:
    path = trial / manifest.NAME
    path.write_text(spoil(path.read_text()))
    done = run("report", path, "-o", trial / "out")
    assert done.returncode == 2
    first, _ = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert not (trial / "out" / "report.html").exists()


def test_a_manifest_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="No such file"):
        manifest.load(Path("/nowhere/manifest.json"))
