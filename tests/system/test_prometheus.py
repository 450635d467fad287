# SPDX-License-Identifier: GPL-2.0
"""`make run` as a user sees it, and a real Prometheus that scrapes it by the rules shipped."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from system.tools import ROOT, Prometheus

pytestmark = pytest.mark.vm


def test_hit_ratio(prometheus: Prometheus, live: tuple[int, Path]) -> None:
    """The query that docs/metrics.md gives, and the counts behind it."""
    ratio = ('sum(rate(cma_alloc_total{path="defer_hit"}[30s])) / '
             'sum(rate(cma_alloc_total{path!="failed"}[30s]))')
    deadline = time.monotonic() + 120
    while not (found := [value for value in prometheus.numbers(ratio) if value > 0]):
        assert time.monotonic() < deadline, live[1].read_text()
        time.sleep(1)
    assert 0 < found[0] < 1
    for kind in ("hits", "misses"):
        assert prometheus.until(f'cma_defer_{kind}_total{{area="reserved"}} > 0')


def test_quantiles_come_from_the_histograms(prometheus: Prometheus) -> None:
    quantile = ('histogram_quantile(0.5, sum by (le, path) '
                '(rate(cma_alloc_duration_seconds_bucket[30s])))')
    by_path = {r["metric"]["path"]: float(r["value"][1]) for r in prometheus.until(quantile)
               if r["value"][1] != "NaN"}
    assert 0 < by_path["defer_hit"] < by_path["contig"]


def test_recorded_series_have_data(prometheus: Prometheus, live: tuple[int, Path]) -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    prometheus.until_all_have_data(
        {rule["record"] for group in groups for rule in group["rules"]}, live[1])


def test_alerts_are_evaluated_and_none_fires_on_a_sound_device(prometheus: Prometheus) -> None:
    alerts = [rule for group in prometheus.get("rules", type="alert")["groups"]
              for rule in group["rules"]]
    shipped = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    assert {rule["name"] for rule in alerts} == \
        {rule["alert"] for group in shipped for rule in group["rules"]}
    assert {rule["health"] for rule in alerts} == {"ok"}, alerts
    assert not [rule for rule in alerts if rule["state"] == "firing"]


def test_status_lines_are_printed(live: tuple[int, Path]) -> None:
    """A line every few seconds, with quantiles as soon as there are any."""
    deadline = time.monotonic() + 120
    while not any("hits" in line and "p50" in line and "reclaimed" in line
                  for line in live[1].read_text().splitlines()):
        assert time.monotonic() < deadline, live[1].read_text()
        time.sleep(1)
