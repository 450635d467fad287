# SPDX-License-Identifier: GPL-2.0
"""Builds the metric families from a View at each scrape; keeps no state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from cmaobs import latency
from cmaobs.metrics import dmabufs, kernel, own, who
from cmaobs.metrics.table import METRICS
from cmaobs.state import Latency
from cmaobs.view import View

Sample = tuple[str, tuple[str, ...], float | Latency]
"""A metric's name, label values in the table's order, and the value."""


class ViewCollector(Collector):
    """A collector of what the function returns at the time of the scrape."""

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """The families that have at least one sample, in the table's order."""
        yield from families(samples(self._view()))


def samples(view: View) -> Iterator[Sample]:
    """Every sample of a view, in no particular order."""
    for room in (kernel, who, dmabufs, own):
        yield from room.samples(view)


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Samples grouped by the table; raises KeyError for a name that is not in it."""
    by_name: dict[str, list[tuple[tuple[str, ...], float | Latency]]] = {
        metric.name: [] for metric in METRICS}
    for name, labels, value in samples:
        by_name[name].append((labels, value))
    for metric in METRICS:
        found = by_name[metric.name]
        if not found:
            continue
        if metric.type == "histogram":
            yield _histogram(metric.name, metric.help, metric.labels, found)
            continue
        kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=metric.labels)
        for labels, value in found:
            assert not isinstance(value, Latency)
            family.add_metric(list(labels), value)
        yield family


def exposition(view: View) -> bytes:
    """The text format of one view, as ``replay --metrics`` prints it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ViewCollector(lambda: view))
    return generate_latest(registry)


def _histogram(name: str, text: str, labels: tuple[str, ...],
               found: list[tuple[tuple[str, ...], float | Latency]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, value in found:
        assert isinstance(value, Latency)
        family.add_metric(
            list(values),
            [(_limit(limit), below) for limit, below in latency.cumulative(value)],
            latency.total_s(value))
    return family


def _limit(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else repr(seconds)
