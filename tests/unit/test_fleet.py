# SPDX-License-Identifier: GPL-2.0
"""`cmaobs fleet`: outcomes of many devices as Parquet, and what is asked of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from golden import compare, histories, recordings
from golden.cli import run
from golden.demands import DEMO

from cmaobs.fleet.store import Store, part, whole
from cmaobs.report import fleet


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two devices: the demo, and a small one, of which a record is lost."""
    tmp_path = tmp_path_factory.mktemp("fleet")
    small = tmp_path / "small run.cmarec"
    recordings.write(small, histories.lossy())
    for device, file in (("door-1", DEMO), ("kitchen-07", small)):
        done = run("fleet", tmp_path / "out", "--device", device, "--add", file,
                   "--policy", "rfc")
        assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_files_are_by_device_and_day(kept: Path) -> None:
    found = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
    assert found == [
        "callers/device=door-1/day=2026-11-23/demo.parquet",
        "callers/device=kitchen-07/day=2026-01-01/small_run.parquet",
        "left_out/device=door-1/day=2026-11-23/demo.parquet",
        "left_out/device=kitchen-07/day=2026-01-01/small_run.parquet",
        "outcomes/device=door-1/day=2026-11-23/demo.parquet",
        "outcomes/device=kitchen-07/day=2026-01-01/small_run.parquet"]


def test_each_outcome_is_that_of_whatif(kept: Path) -> None:
    outcome = json.loads(run("whatif", DEMO, "--policy", "rfc", "--json").stdout)["outcomes"][1]
    (row,) = duckdb.sql(
        "SELECT hits, asks, p99_s, p99_high_s, hit_low, flushed_pages "
        f"FROM '{kept}/outcomes/*/*/*.parquet' WHERE policy = 'rfc' AND asks > 100").fetchall()
    assert row == (outcome["hits"], outcome["asks"], outcome["latency"]["p99_s"]["value"],
                   outcome["latency"]["p99_s"]["high"], outcome["hit_ratio"]["low"],
                   outcome["reclaim"]["flushed_pages"])


def test_the_report(kept: Path) -> None:
    done = run("fleet", kept)
    assert done.returncode == 0
    compare("fleet.txt", done.stdout)


def test_adding_again_replaces(kept: Path) -> None:
    before = run("fleet", kept, "--json").stdout
    done = run("fleet", kept, "--device", "door-1", "--add", DEMO, "--policy", "rfc", "--json")
    assert json.loads(done.stdout) == json.loads(before)


def test_who_gains_stands_before_who_loses(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def row(policy: str, against: str, hits: int) -> tuple[Any, ...]:
        return ("r.cmarec", "6.1", True, 60.0, policy, 64, 100, hits, 100 - hits, 0, 0, 0, 0.1, 0.9,
                *(1e-5,) * 6, 5.0, 9, 0, 0, against)
    for device, against, hits in (("a", "loses", 5), ("b", "gains", 95), ("c", "open", 50)):
        for day in ("2026-01-01", "2026-01-02"):
            store.add(device, day, "r", {"outcomes": [row("plain", "open", 0),
                                                      row("rfc", against, hits)],
                                         "callers": [("r.cmarec", "camera", 100, 1600, 1, 2.5)],
                                         "left_out": []})
    found = whole([part(files, lambda _: None) for files in store.parts(1)])
    for most in (2, 5, 100):  # however the files are parted
        parts = store.parts(most)
        assert len(parts) == min(most, 6)
        assert whole(part(files, lambda _: None) for files in reversed(parts)) == found
    assert found["whole"] == [{"devices": 3, "days": 6, "recordings": 6}]
    assert [(one["device"], one["gains"], one["loses"]) for one in found["devices"]] == [
        ("b", 2, 0), ("c", 0, 0), ("a", 0, 2)]
    assert found["kernels"][0]["hit_ratio"] == pytest.approx(0.5)
    assert found["callers"] == [{"comm": "camera", "devices": 3, "allocations": 600,
                                 "pages": 9600, "failed": 6, "seconds": 15.0, "share": 1.0}]
    assert "camera" in fleet.draw(found)


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "holds no outcomes"), (("--add", DEMO), "--device is missing"),
    (("--add", DEMO, "--device", "a/b"), "--device a/b"),
    (("--add", DEMO, "--device", "a", "--batch", "0"), "batch 0"),
    (("--add", DEMO, "--device", "a", "--policy", "x"), "no policy 'x'"),
    (("--add", "/nowhere", "--device", "a"), "cannot read /nowhere")])
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[Any, ...], said: str) -> None:
    done = run("fleet", tmp_path / "out", *arguments)
    assert done.returncode == 2
    line, remedy = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert remedy


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outcomes/device=a/day=2026-01-01/x.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("nothing")
    done = run("fleet", tmp_path)
    assert done.returncode == 2
    assert "x.parquet" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_where_nothing_can_be_written() -> None:
    done = run("fleet", "/proc/nowhere", "--device", "a", "--add", DEMO, "--policy", "plain")
    assert done.returncode == 2
    assert "cannot write /proc/nowhere" in done.stderr


def test_what_was_left_out_is_told_and_nothing_ends_the_rest(tmp_path: Path) -> None:
    whole, cut, none = (tmp_path / name for name in ("whole.cmarec", "cut.cmarec", "none.cmarec"))
    recordings.write(whole, histories.lossy())
    cut.write_bytes(whole.read_bytes()[:-120])
    none.write_text("nothing")
    done = run("fleet", tmp_path / "out", "--device", "a", "--add", none, whole, cut,
               "--policy", "rfc", "--json")
    assert done.returncode == 0, done.stderr
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["warning"] * 2
    assert (f"{none} at byte 0: this is no recording: it does not begin as one; it is left out"
            in done.stderr)
    assert f"{cut} was cut off at byte" in done.stderr
    data = json.loads(done.stdout)
    assert data["whole"][0]["recordings"] == 2
    told = {one["what"]: (one["devices"], one["recordings"], one["times"])
            for one in data["left_out"]}
    assert told["recordings that were cut off"] == (1, 1, 1)
    assert told["releases that were not seen, noticed when their pages were granted again"] == (
        1, 2, 2)
    assert "left out or mended" in run("fleet", tmp_path / "out").stdout
    done = run("fleet", tmp_path / "out", "--device", "a", "--add", none)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {none} at byte 0")


def test_devices_whose_names_are_numbers_stay_as_they_are(tmp_path: Path) -> None:
    small = tmp_path / "small.cmarec"
    recordings.write(small, histories.lawful())
    for device in ("7", "007"):
        done = run("fleet", tmp_path / "out", "--device", device, "--add", small, "--policy",
                   "rfc", "--json")
    assert [one["device"] for one in json.loads(done.stdout)["devices"]] == ["007", "7"]
