# SPDX-License-Identifier: GPL-2.0
"""`cmaobs whatif` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden import histories, recordings
from golden.cli import run
from golden.demands import DEMO

from cmaobs.report.whatif_html import HEAD


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "run.cmarec"
    recordings.write(path, histories.lawful())
    return path


def test_the_recorded_policy_comes_to_what_was_recorded() -> None:
    done = run("whatif", DEMO, "--policy", "rfc", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    plain, rfc = data["outcomes"]
    assert rfc["hits"] == data["recorded"]["hits"] == 471
    assert (plain["policy"], plain["hits"], rfc["failed"]) == ("plain", 0, 0)
    assert rfc["latency"]["p99_s"]["value"] == data["recorded"]["latency"]["p99_s"]


def test_several_recordings_and_a_page(small: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for _ in range(2):
        done = run("whatif", small, small, "--html", page)
        assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 allocations by 1 threads") == 2
    assert page.read_text().startswith(HEAD)


def test_a_search_names_the_best(small: Path) -> None:
    done = run("whatif", small, "--objective", "hit-ratio", "--batch", "16", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert len(data["outcomes"]) == 8
    assert data["objective"] == "hit-ratio"
    assert data["best"]["batch"] == 16


def test_a_recording_that_was_cut_off_is_used_as_far_as_it_goes(
        small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.cmarec"
    cut.write_bytes(small.read_bytes()[:-120])
    done = run("whatif", cut, "--policy", "rfc")
    assert done.returncode == 0
    assert "was cut off" in done.stderr
    assert "left out or mended: 1 recordings that were cut off (cut.cmarec)" in done.stdout


def test_a_damaged_recording_is_used_up_to_the_damage(tmp_path: Path) -> None:
    data = bytearray(DEMO.read_bytes())
    data[len(data) // 2] ^= 1
    bad = tmp_path / "bad.cmarec"
    bad.write_bytes(data)
    done = run("whatif", bad, "--policy", "rfc")
    assert done.returncode == 0
    assert "warning: " in done.stderr
    assert "recordings that are damaged (bad.cmarec)" in done.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (("--policy", "best"), "no policy 'best'"),
    (("--batch", "0"), "expected a number of pages above 0"),
    (("--batch", "x"), "expected a number of pages above 0"),
    (("--batch", "99999"), "batch 99999 is more than the 16384 pages"),
    (("--policy", "none.py:Mine"), "no file none.py"),
    (("--html", "/proc/nowhere/page.html"), "cannot write /proc/nowhere/page.html"),
    (("--objective", "cost"), "invalid choice"),
])
def test_bad_input_is_one_line(small: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("whatif", small, *arguments)
    assert done.returncode == 2
    line, remedy = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert remedy


def test_what_a_users_class_raises_in_a_worker_is_one_line(small: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from cmaobs.whatif.rules import Rules\nclass Mine(Rules):\n"
                    "    def defers(self, state, pfn, pages): return state.nothing\n")
    done = run("whatif", small, "--policy", f"{mine}:Mine")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(f"error: {mine}: line 3: AttributeError: ")
    assert len(done.stderr.splitlines()) == 2


def test_files_that_are_none(small: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine\n")
    done = run("whatif", small, "--policy", "rfc", "--html", tmp_path / "page.html")
    assert done.returncode == 2
    assert "it exists and is no page of whatif" in done.stderr
    assert (tmp_path / "page.html").read_text() == "mine\n"
    done = run("whatif", tmp_path / "page.html")
    assert done.returncode == 2
    assert "no recording" in done.stderr


def test_a_recording_without_an_allocation(tmp_path: Path) -> None:
    path = tmp_path / "idle.cmarec"
    recordings.write(path, histories.lawful()[:1])
    done = run("whatif", path)
    assert done.returncode == 2
    assert "no allocation in" in done.stderr
