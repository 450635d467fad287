# SPDX-License-Identifier: GPL-2.0
"""`make run` as a user sees it, and a real Prometheus that scrapes it by the rules shipped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from system.tools import DEADLINE_S, ROOT, Prometheus

pytestmark = pytest.mark.vm


def values(found: list[Any]) -> list[float]:
    """Of each series."""
    return [float(one["value"][1]) for one in found]


def test_hit_ratio(prometheus: Prometheus, live: tuple[int, Path]) -> None:
    """The query that docs/metrics.md gives, and the counts behind it."""
    ratio = ('sum(rate(cma_alloc_total{path="defer_hit"}[2m])) / '
             'sum(rate(cma_alloc_total{path!="failed"}[2m]))')
    # once there were hits and others: few allocations may be of one kind
    value, = values(prometheus.until(f"({ratio}) > 0 < 1"))
    assert 0 < value < 1
    for kind in ("hits", "misses"):
        assert prometheus.until(f'cma_defer_{kind}_total{{area="reserved"}} > 0')


def test_quantiles_come_from_the_histograms(prometheus: Prometheus) -> None:
    quantile = ('histogram_quantile(0.5, sum by (le) '
                '(rate(cma_alloc_duration_seconds_bucket{path="%s"}[5m])))')
    hit, contig = quantile % "defer_hit", quantile % "contig"
    # of few, one may be of a time in which the device had no processor
    value, = values(prometheus.until(f"{hit} > 0 < {contig}"))
    assert value > 0


def test_recorded_series_have_data(prometheus: Prometheus, live: tuple[int, Path]) -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    prometheus.until_all_have_data(
        {rule["record"] for group in groups for rule in group["rules"]}, live[1])


def test_alerts_are_evaluated_and_none_fires_on_a_sound_device(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        alerts = [rule for group in prometheus.get("rules", type="alert")["groups"]
                  for rule in group["rules"]]
        if alerts and "unknown" not in {rule["health"] for rule in alerts}:
            break
        assert time.monotonic() < deadline, alerts  # they are not evaluated yet
        time.sleep(1)
    shipped = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    assert {rule["name"] for rule in alerts} == \
        {rule["alert"] for group in shipped for rule in group["rules"]}
    assert {rule["health"] for rule in alerts} == {"ok"}, alerts
    assert not [rule for rule in alerts if rule["state"] == "firing"]


def test_status_lines_are_printed(live: tuple[int, Path]) -> None:
    """A line every few seconds, with quantiles as soon as there are any."""
    deadline = time.monotonic() + DEADLINE_S
    while not any("hits" in line and "p50" in line and "reclaimed" in line
                  for line in live[1].read_text().splitlines()):
        assert time.monotonic() < deadline, live[1].read_text()
        time.sleep(1)
