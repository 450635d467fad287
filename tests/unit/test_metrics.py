# SPDX-License-Identifier: GPL-2.0
"""Metrics: names, values, absence, documentation, and what promtool thinks of them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import golden
import pytest
from golden import samples
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cmaobs import metrics
from cmaobs.metrics import table, who
from cmaobs.verdict import Coverage, Outcome, Verdict
from cmaobs.view import View
from cmaobs.who import Caller, Holders
from cmaobs.who.book import Piece

ROOT = Path(__file__).parents[2]
# The server adds them: tests/unit/test_web.py.
WEB = {metric.name for metric in metrics.METRICS if metric.when == "web"}


def _values(view: View) -> dict[tuple[str, tuple[str, ...]], float]:
    """By sample name and label values."""
    return {(sample.name, tuple(sample.labels.values())): sample.value
            for family in parse_text(metrics.exposition(view).decode())
            for sample in family.samples}


def _names(view: View) -> set[str]:
    """Families, as the table names them."""
    text = metrics.exposition(view).decode()
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}


def test_the_exposition_is_as_it_was() -> None:
    golden.compare("exposition.txt", metrics.exposition(samples.view()).decode())


@pytest.mark.parametrize("view", [samples.view(), samples.plain_view(), View({}, ())],
                         ids=["patched", "plain", "empty"])
def test_promtool_has_nothing_to_say(view: View) -> None:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([tool, "check", "metrics"], input=metrics.exposition(view),
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_says_the_same() -> None:
    registry = CollectorRegistry()
    registry.register(metrics.ViewCollector(samples.view))
    found = {(sample.name, tuple(sample.labels.values())): sample.value
             for family in parse_open(  # type: ignore[no-untyped-call]
                 generate_latest(registry).decode())  # type: ignore[no-untyped-call]
             for sample in family.samples}
    assert found == _values(samples.view())
    assert len(found) > 300


def test_every_metric_of_the_table_is_there_and_no_other() -> None:
    assert _names(samples.view()) == set(table.BY_NAME) - WEB


def test_a_plain_kernel_lacks_exactly_what_the_table_says() -> None:
    """And nothing about deferring is zero where it does not exist."""
    missing = {metric.name for metric in metrics.METRICS
               if metric.when in ("patched", "live", "callers", "buffers", "lent", "phases",
                                 "policies", "max-rate")}
    assert set(table.BY_NAME) - WEB - _names(samples.plain_view()) == missing
    assert not [key for key in _values(samples.plain_view())
                if "defer_hit" in key[1] or "deferred" in key[1]]


def test_values_are_those_of_the_reading() -> None:
    values = _values(samples.view())
    area = "reserved"
    assert values["cma_alloc_total", (area, "defer_hit")] == 200
    assert values["cma_alloc_total", (area, "contig")] == 50
    assert values["cma_alloc_total", (area, "failed")] == 1
    assert values["cma_alloc_failures_total", (area, "ENOMEM")] == 1
    assert values["cma_defer_misses_total", (area,)] == 7
    assert values["cma_allocated_pages", (area,)] == 528
    assert values["cma_deferred_pages", (area,)] == 96
    assert values["cma_deferred_extents", (area,)] == 2
    assert values["cma_free_pages", (area,)] == 16384 - 528 - 96
    assert values["cma_largest_clear_run_pages", (area,)] == 16384 - 0x410
    assert values["cma_fragmentation_ratio", (area,)] == pytest.approx(0.032290616)
    assert [values["cma_clear_runs", (area, order)] for order in ("9", "12", "13")] == [1, 0, 1]
    assert values["cma_lent_pages", (area,)] == 3009
    assert values["cmaobs_model_verdict", ("diverge",)] == 1
    assert values["cmaobs_model_verdict", ("agree",)] == 0
    assert values["cmaobs_model_divergences_total", ("R12",)] == 3
    assert values["cmaobs_model_divergences_total", ("R1",)] == 0
    assert values["cmaobs_losses_total", ("ring_full",)] == 16
    assert values["cmaobs_feature_withheld", ("phases",)] == 1
    assert values["cmaobs_feature_withheld", ("records",)] == 0
    assert values["cmaobs_withheld_total", ("phases",)] == 70
    assert values["cmaobs_model_last_rest_timestamp_seconds", (area,)] == 1767225600 + 8
    assert values["cmaobs_probes_attached", ()] == 7
    camera = (area, "camera", "dma-buf heap", "process")
    assert values["cma_caller_held_pages", camera] == 256
    assert values["cma_caller_held_oldest_seconds", camera] == 9
    assert values["cma_caller_allocs_total", camera] == 200
    worker = (area, "kworker", "v4l2: vim2m", "kthread")
    assert values["cma_caller_alloc_failures_total", worker] == 1
    assert [values["cma_held_pages", (known, area)] for known in (
        "seen", "uncertain", "before", "missed")] == [16, 256, 256, 0]
    assert values["cma_dmabuf_bytes", (area,)] == 64 << 10
    assert values["cma_dmabuf_held_bytes", (area, "codec")] == 64 << 10
    assert values["cma_dmabuf_held_bytes", ("none", "(kernel)")] == 4096
    assert values["cma_held_longer_pages", (area, "60")] == 0
    name = "cma_contig_duration_seconds"
    assert values[f"{name}_count", (area,)] == 51
    assert values[f"{name}_bucket", (area, repr(2 ** 36 / 1e9))] == 50
    assert values[f"{name}_sum", (area,)] == pytest.approx(50 * 0.0019 + 2 ** 40 / 1e9)


def test_an_area_that_cannot_be_read_has_counts_but_no_gauges() -> None:
    values = _values(samples.view())
    of_camera = {name for name, labels in values if labels[:1] == ("camera",)}
    assert "cma_alloc_total" in of_camera
    assert "cma_area_pages" in of_camera
    assert not of_camera & {"cma_allocated_pages", "cma_free_pages", "cma_deferred_pages"}


def test_reasons_are_bounded_and_still_add_up() -> None:
    undecided = {f"reason {number}": number for number in range(1, 101)}
    view = dataclasses.replace(samples.plain_view(), verdict=Verdict(
        Outcome.UNKNOWN, (), (), {}, (Coverage("reserved", 5050, 0, undecided),)))
    found = {key: value for key, value in _values(view).items()
             if key[0] == "cmaobs_model_undecided_total"}
    assert len(found) == 17
    assert sum(found.values()) == 5050


def test_callers_are_bounded_and_still_add_up() -> None:
    pieces = tuple(Piece(0x40000 + 4 * at, 4, at, Caller("process", f"job-{at}", at, "unknown", 0))
                   for at in range(100))
    view = dataclasses.replace(samples.view(), holders=Holders(200 * 10 ** 9, {0: pieces}))
    values = _values(view)
    held = {key: value for key, value in values.items() if key[0] == "cma_caller_held_pages"}
    assert len(held) == who.TOP + 1
    assert sum(held.values()) == 400
    assert values["cma_caller_held_pages", ("reserved", "other", "other", "other")] == 320
    assert values["cma_held_longer_pages", ("reserved", "60")] == 400


def test_before_the_first_reading_there_is_no_zero() -> None:
    names = _names(View({}, (samples.AREA,)))
    assert "cma_area_pages" in names
    assert not names & {"cma_alloc_total", "cmaobs_model_verdict", "cma_free_pages"}


def test_the_documentation_is_current() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == table.document(), (
        "python -m cmaobs.metrics > docs/metrics.md")
