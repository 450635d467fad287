# SPDX-License-Identifier: GPL-2.0
"""`cmaobs whatif` as a user types it."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import pytest
from golden import demands, histories, recordings
from golden.cli import run
from golden.demands import DEMO

from cmaobs.recording import framing
from cmaobs.report.whatif_html import HEAD
from cmaobs.state import Reading
from cmaobs.whatif import search
from cmaobs.whatif.figures import Figures, shipped


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


def test_a_search_is_the_same_by_one_process_and_by_several() -> None:
    demand = demands.demo()
    figures = Figures([demand], shipped())
    wanted = search.tasks((), (16, 64), [demand], True)
    assert len(wanted) == 15
    shares: list[float] = []
    one, three = (search.outcomes(wanted, [demand], figures, shares.append, workers)
                  for workers in (1, 3))
    assert one == three
    assert [(found["policy"], found["batch"]) for found in one] == wanted
    assert shares.count(1.0) == 2
    assert sorted(shares[:15]) == shares[:15]
    assert sorted(shares[15:]) == shares[15:]


def test_a_policy_twice_is_searched_once_more(small: Path) -> None:
    done = run("whatif", small, "--policy", "rfc", "rfc", "--objective", "p99", "--json")
    assert done.returncode == 0, done.stderr
    found = [one["policy"] for one in json.loads(done.stdout)["outcomes"]]
    assert found == ["plain", *["rfc"] * 8]


def test_a_process_that_is_killed_is_one_line(small: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("import os\nfrom cmaobs.whatif.rules import Rules\nclass Mine(Rules):\n"
                    "    def defers(self, state, pfn, pages): os.kill(os.getpid(), 9)\n")
    done = run("whatif", small, "--policy", f"{mine}:Mine")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: a process that replays a policy was killed"
    assert len(done.stderr.splitlines()) == 2


def test_a_recording_of_another_version_is_left_out_and_named(small: Path, tmp_path: Path) -> None:
    head = framing._FILE.pack(framing.MAGIC, 9, 0, 0)[:12]
    other = tmp_path / "other.cmarec"
    other.write_bytes(head + zlib.crc32(head).to_bytes(4, "little") + small.read_bytes()[16:])
    alone = run("whatif", other)
    assert alone.returncode == 2
    line, _ = alone.stderr.splitlines()
    assert line == f"error: {other} is a recording of format version 9, not 1"
    for files in ((other, small), (small, other)):
        done = run("whatif", *files, "--policy", "rfc", "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"warning: {line.removeprefix('error: ')}; it is left out\n"
        data = json.loads(done.stdout)
        assert data["left_out"] == {
            "recordings of which nothing can be read (other.cmarec)": 1}
        assert data["outcomes"][0]["asks"] == 5


def test_a_recording_that_is_not_there_ends_it_before_any_is_read(small: Path) -> None:
    done = run("whatif", small, "/nowhere")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: cannot read /nowhere: No such file or directory"


def test_gaps_and_jumps_of_clocks_are_named(tmp_path: Path) -> None:
    steps = histories.lossy()
    last = [step for step in steps if isinstance(step, Reading)][-1]
    recordings.write(tmp_path / "run.cmarec", [*steps, dataclasses.replace(
        last, time_ns=last.time_ns + 10 ** 9, wall_s=last.wall_s + 3600)])
    done = run("whatif", tmp_path / "run.cmarec", "--policy", "rfc")
    assert done.returncode == 0, done.stderr
    assert "left out or mended: 1 records lost by the observer (ring_full)" in done.stdout
    assert "left out or mended: 1 jumps of the time of day, or suspends" in done.stdout


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
    assert "it exists and is not a page of whatif" in done.stderr
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
