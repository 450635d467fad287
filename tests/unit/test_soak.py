# SPDX-License-Identifier: GPL-2.0
"""The soak's mix is what it says, its tasks make it, and its judge lets nothing through."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from soak import judge, mix
from soak.task import FIELDS, HELD, MADE, REFUSED, Board, work
from soak.watch import rss_kib

from cmaobs.load.area import Area

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What `cmaobs demo --json` says: a real run that agrees."""
    done = subprocess.run([sys.executable, "-m", "cmaobs", "demo", "--json"], cwd=ROOT,
                          capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_seed_gives_the_same_rounds_and_another_does_not() -> None:
    def first(seed: int, generation: int = 0) -> list[mix.Round]:
        return list(itertools.islice(mix.rounds(seed, 3, generation, True, 1), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) != first(1, generation=1)


def test_rounds_stay_within_what_is_printed() -> None:
    made = list(itertools.islice(mix.rounds(1, 0, 0, True, 1), 3000))
    for kind in mix.KINDS:
        mine = [one for one in made if one.through == kind.through
                and kind.blocks[0] <= len(one.pages) <= kind.blocks[1]
                and kind.repeats[0] <= one.repeats <= kind.repeats[1]
                and all(kind.sizes[0] <= n <= kind.sizes[1] for n in one.pages)]
        share = kind.weight / sum(k.weight for k in mix.KINDS)
        assert len(mine) > 0.7 * share * len(made), kind
    assert not {one.through for one in itertools.islice(mix.rounds(1, 0, 0, False, 1), 500)} - {
        "debugfs"}
    assert all(n % 4 == 0 for one in itertools.islice(mix.rounds(1, 7, 0, False, 4), 200)
               for n in one.pages)


def test_a_task_makes_its_rounds_and_counts_them(tmp_path: Path) -> None:
    debugfs = tmp_path / "cma"
    debugfs.mkdir()
    (debugfs / "alloc").touch()
    (debugfs / "free").touch()
    (debugfs / "order_per_bit").write_text("0")
    board = Board.of(memoryview(bytearray(8 * (2 * FIELDS + 1))), 2)
    plan = [mix.Round("debugfs", (4, 7), 3, 0.0)]
    work(Area(tmp_path, "camera", debugfs), plan, board, 1, 1.0)
    assert (debugfs / "alloc").read_text() == "47" * 3
    assert (debugfs / "free").read_text() == "74" * 3
    numbers = board.numbers[FIELDS:2 * FIELDS]
    assert (numbers[MADE], numbers[REFUSED], numbers[HELD]) == (plan[0].operations, 0, 0)
    assert not any(board.numbers[:FIELDS])


def test_a_run_that_agrees_passes(report: dict[str, Any]) -> None:
    seen = judge.operations(report)
    assert seen > 500
    few = {**report, "areas": [{**area, "undecided": {}} for area in report["areas"]]}
    assert judge.faults(few, seen, [60_000] * 40) == []
    assert any(f"operations {seen}" in line for line in judge.table(report))


@pytest.mark.parametrize(("change", "told"), [
    (lambda r: r["verdict"].update(outcome="unknown", reasons=["area x: lost"]),
     "verdict unknown: area x: lost"),
    (lambda r: r["verdict"]["divergences"].append(
        {"rule": "R5", "area": "x", "expected": "a", "observed": "b", "evidence": "f"}),
     "R5: area x: expected a, observed b; f"),
    (lambda r: r["areas"][0].update(undecided={"lost: ring 7": r["areas"][0]["operations"]}),
     "lost: ring 7"),
    (lambda r: [area.update(rests=0, torn=0) for area in r["areas"]], "no snapshot was compared"),
    (lambda r: r["counts_compared"].update(mismatched=1, mismatches=["5 and 6"]),
     "counts mismatched"),
    (lambda r: r.update(areas=[]), "0 operations seen"),
])
def test_what_is_wrong_is_told(report: dict[str, Any], change: Any, told: str) -> None:
    wrong = copy.deepcopy(report)
    change(wrong)
    assert any(told in fault for fault in judge.faults(wrong, 1, []))


def test_fewer_operations_than_wanted_and_growth_are_told(report: dict[str, Any]) -> None:
    assert any("wanted" in fault for fault in judge.faults(report, 10**9, []))
    grown = [60_000] * 30 + [75_000] * 10
    assert any("grew from 60000 to 75000" in fault for fault in judge.faults(report, 1, grown))
    assert not any("grew" in fault
                   for fault in judge.faults(report, 1, [60_000] * 30 + [65_000] * 10))


SERVED = judge.Served(50_000, 4, 30, 4_000_000, "agree")
COUNTS = {"reserved": {"succeeded": 7, "failed": 1, "released": 7}}


def test_a_long_run_of_serve_passes() -> None:
    assert judge.served([SERVED] * 40, COUNTS, copy.deepcopy(COUNTS)) == []


@pytest.mark.parametrize(("change", "told"), [
    ({"rss_kib": 70_000}, "grew from 50000 to 70000 KiB"),
    ({"threads": 5}, "threads grew from 4 to 5"),
    ({"descriptors": 31}, "descriptors grew from 30 to 31"),
    ({"file_bytes": 4_000_001}, "file_bytes grew from 4000000 to 4000001"),
    ({"verdict": "unknown"}, "the verdict is unknown at the end"),
    ({"verdict": "diverge"}, "the verdict was diverge"),
])
def test_what_a_long_run_of_serve_must_not_do(change: dict[str, Any], told: str) -> None:
    found = judge.served([SERVED] * 30 + [SERVED._replace(**change)] * 10, COUNTS, COUNTS)
    assert any(told in fault for fault in found)


def test_a_count_that_is_off_by_one_and_too_few_looks_are_told() -> None:
    less = {"reserved": {**COUNTS["reserved"], "released": 6}}
    assert any("counted" in fault for fault in judge.served([SERVED] * 40, COUNTS, less))
    assert judge.served([SERVED] * 39, COUNTS, COUNTS) == ["39 scrapes, 40 wanted"]


def test_memory_of_a_process() -> None:
    assert rss_kib(1) > 0
    assert rss_kib(2**22 + 1) == 0
