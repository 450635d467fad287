# SPDX-License-Identifier: GPL-2.0
"""Reports: the text people read, and the data it is drawn from."""

from __future__ import annotations

import dataclasses
import json
import math

import golden
import pytest
from golden import samples

from cmaobs import report
from cmaobs.events import Operation
from cmaobs.report import text
from cmaobs.report.advice import advice
from cmaobs.verdict import Outcome
from cmaobs.view import Tallied, View


@pytest.mark.parametrize(("name", "view"), [
    ("diverge", samples.view()), ("plain", samples.plain_view()), ("empty", View({}, ()))])
def test_the_summary_is_as_it_was(name: str, view: View) -> None:
    data = report.summary(view)
    golden.compare(f"summary-{name}.txt", report.draw_summary(data))
    golden.compare(f"summary-{name}.json", json.dumps(data, indent=1) + "\n")


@pytest.mark.parametrize(("name", "view"), [
    ("patched", samples.view()), ("plain", samples.plain_view())])
def test_the_snapshot_is_as_it_was(name: str, view: View) -> None:
    data = report.snapshot(view)
    golden.compare(f"snapshot-{name}.txt", report.draw_snapshot(data))
    golden.compare(f"snapshot-{name}.json", json.dumps(data, indent=1) + "\n")


@pytest.mark.parametrize(("name", "view"), [
    ("patched", samples.view()), ("plain", samples.plain_view()), ("empty", View({}, ()))])
def test_the_status_is_one_line(name: str, view: View) -> None:
    line = report.status_line(report.summary(view))
    assert "\n" not in line
    golden.compare(f"status-{name}.txt", line + "\n")


def test_a_mismatch_and_a_cut_tail_are_shown() -> None:
    view = dataclasses.replace(
        samples.plain_view(), warnings=("run.cmarec was cut off at byte 9",), unjudged=3,
        tallied=Tallied(3, 2, 1, ("area reserved: fewer records than counts: x",)))
    drawn = report.draw_summary(report.summary(view))
    assert "warning: run.cmarec was cut off at byte 9\n" in drawn
    assert "3 records came after the last reading" in drawn
    assert "1 mismatched\n  area reserved: fewer records" in drawn


def test_a_name_cannot_steer_the_terminal() -> None:
    evil = samples.alloc(1, 2, 3, 4)._replace(comm=b"\x1b[2J\r\n")
    view = samples.view()
    assert view.verdict is not None
    divergence = dataclasses.replace(view.verdict.divergences[0], operations=(Operation(evil),))
    view = dataclasses.replace(
        view, verdict=dataclasses.replace(view.verdict, divergences=(divergence,)),
        identity={"release": "a\x1b]0;b\x07"})
    drawn = report.draw_summary(report.summary(view))
    assert "\x1b" not in drawn
    assert "?[2J" in drawn
    assert "kernel a?]0;b?" in drawn


@pytest.mark.parametrize(("pair", "expected"), [
    ([0.0, 1.28e-7], "0-128 ns"), ([1.024e-6, 1.28e-6], "1.02-1.28 us"),
    ([0.0917, 0.107], "91.7-107 ms"), ([103.1, None], ">103 s")])
def test_bounds_share_a_unit(pair: list[float | None], expected: str) -> None:
    assert text.bounds(pair) == expected


def test_the_data_is_json_that_others_can_read() -> None:
    """No NaN, no infinity: the scan's longest call was beyond the last slot."""
    data = report.summary(samples.view())
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again == data
    latencies = data["areas"][0]["latency"]
    assert latencies["contig"]["p99_s"][1] is None
    assert math.isclose(latencies["alloc_contig"]["mean_s"], 0.002)


def test_reclaimed_deferred_and_hits_are_not_named_on_a_plain_kernel() -> None:
    drawn = report.draw_summary(report.summary(samples.plain_view()))
    assert "does not defer" in drawn
    for word in ("hit", "deferred", "scans", "misses"):
        assert word not in drawn


def test_exit_statuses_are_the_outcomes() -> None:
    assert [outcome.value for outcome in Outcome] == [0, 1, 3]


def test_every_reason_for_an_unknown_has_something_that_helps() -> None:
    reasons = ["area a: lost: ring_full 3, stale_entries 1, and not at rest since",
               "area a: never at rest since its operations began", "no operation was decided",
               "area b: the kernel counted allocations that were not seen, and not at rest since",
               "area b: in flight while the observer attached, and not at rest since",
               "area b: batch was changed, which has no probe, and not at rest since",
               "counts made in the kernel and records differ in 1 readings: allocs_hit 3, not 4"]
    found = [list(advice([reason])) for reason in reasons]
    assert all(len(one) == 1 for one in found)
    assert "--ring-pages" in found[0][0]
    assert "fault of cmaobs" in found[-1][0]
    assert len(list(advice([*reasons, *reasons]))) == len({one[0] for one in found})
