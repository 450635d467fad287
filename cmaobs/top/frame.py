# SPDX-License-Identifier: GPL-2.0
"""What is known at one moment, by the names of /metrics, whatever the source. Pure.

A live kernel and a recording give a View; a remote exporter gives the text of /metrics. Both become
samples under a metric's name and its label values in the order of the table, so that what stands
on them need not know where they came from. Areas page by page and failures one by one are
only in the former.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from cmaobs import latency, metrics
from cmaobs.metrics.table import BY_NAME, METRICS
from cmaobs.state import AreaState, Latency
from cmaobs.view import View
from cmaobs.why import Failure

Key = tuple[str, tuple[str, ...]]
_EDGES = (*(latency.lower_edge_ns(slot) / 1e9 for slot in range(latency.SLOTS)), float("inf"))


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram: counts[i] operations took from edges[i] to edges[i + 1] seconds."""

    sum_s: float
    edges: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def count(self) -> float:
        """Operations measured."""
        return sum(self.counts)

    def since(self, before: Buckets | None) -> Buckets:
        """What came on top of before; all of it where before is not its past."""
        if before is None or before.edges != self.edges:
            return self
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        if min(counts) < 0:
            return self
        return Buckets(self.sum_s - before.sum_s, self.edges, counts)

    def quantile(self, share: float) -> tuple[float, float] | None:
        """Bounds in seconds, the upper one perhaps infinite; None without operations."""
        total = self.count
        seen = 0.0
        for place, count in enumerate(self.counts):
            seen += count
            if count and seen >= share * total:
                return self.edges[place], self.edges[place + 1]
        return None


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment.

    wall_s: seconds since 1970. states: areas page by page, by name, empty where the source has none
    such. failures: the latest, oldest first. reasons: why the verdict is unknown. divergences:
    what broke a rule, a line each. warnings: what is missing of the source.
    """

    wall_s: float
    samples: Mapping[Key, float | Buckets]
    states: Mapping[str, AreaState] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    reasons: tuple[str, ...] = ()
    divergences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def number(self, name: str, *labels: str) -> float | None:
        """A counter or gauge; None where there is none."""
        value = self.samples.get((name, labels))
        return value if isinstance(value, float) else None

    def buckets(self, name: str, *labels: str) -> Buckets | None:
        """A histogram; None where there is none."""
        value = self.samples.get((name, labels))
        return value if isinstance(value, Buckets) else None

    def labels(self, name: str) -> list[tuple[str, ...]]:
        """The label values under which a metric is there."""
        return [labels for metric, labels in self.samples if metric == name]

    def total(self, name: str) -> float:
        """A counter summed over its labels."""
        return sum(self.number(name, *labels) or 0 for labels in self.labels(name))

    @property
    def outcome(self) -> str:
        """The verdict: agree, diverge, unknown, or empty where there is none."""
        return next((verdict for (verdict,) in self.labels("cmaobs_model_verdict")
                     if self.number("cmaobs_model_verdict", verdict)), "")

    def policy(self, area: str) -> str | None:
        """What allocations of the area do with deferred pages, where that can be set."""
        return next((policy for one, policy in self.labels("cma_defer_policy_info")
                     if one == area), None)

    @property
    def areas(self) -> list[str]:
        """Names, in the kernel's order."""
        return [area for (area,) in self.labels("cma_area_pages")]


def of_view(view: View) -> Frame:
    """The moment of the view's latest reading."""
    reading, verdict = view.reading, view.verdict
    samples: dict[Key, float | Buckets] = {}
    for name, labels, value in metrics.samples(view):
        samples[name, labels] = (_of_latency(value) if isinstance(value, Latency)
                                 else float(value))
    states = reading.states if reading else ()
    return Frame(
        reading.wall_s if reading else 0.0, samples,
        {state.facts.name: state for state in states if not state.fault}, view.failures,
        verdict.reasons if verdict else (),
        tuple(str(one) for one in verdict.divergences) if verdict else (), view.warnings)


def of_text(text: str, wall_s: float | None = None) -> Frame:
    """The moment that an exporter's text describes; metrics that are not in the table are left out.

    wall_s: when it was asked, for an exporter that has made no reading. Raises ValueError where the
    text is not what /metrics gives.
    """
    samples: dict[Key, float | Buckets] = {}
    for family in text_string_to_metric_families(text):
        metric = BY_NAME.get(family.name) or BY_NAME.get(f"{family.name}_total")
        if metric is None:
            continue
        parts: dict[tuple[str, ...], dict[str, float]] = {}
        for sample in family.samples:
            labels = tuple(sample.labels.get(name, "") for name in metric.labels)
            if metric.type != "histogram":
                samples[metric.name, labels] = float(sample.value)
            elif sample.name.endswith("_sum"):
                parts.setdefault(labels, {})["sum"] = sample.value
            elif sample.name.endswith("_bucket"):
                parts.setdefault(labels, {})[sample.labels["le"]] = sample.value
        for labels, part in parts.items():
            samples[metric.name, labels] = _of_cumulative(part.pop("sum", 0.0), part)
    at = samples.get(("cmaobs_last_reading_timestamp_seconds", ()))
    asked = time.time() if wall_s is None else wall_s
    return Frame(at if isinstance(at, float) else asked, samples)


def is_ours(frame: Frame) -> bool:
    """Whether it has anything that cmaobs serves."""
    return any(name in {metric.name for metric in METRICS} for name, _ in frame.samples)


def _of_latency(one: Latency) -> Buckets:
    return Buckets(latency.total_s(one), _EDGES, one.slots)


def _of_cumulative(sum_s: float, below: Mapping[str, float]) -> Buckets:
    """From counts below each limit, by the limit's text."""
    limits = sorted((float(limit), count) for limit, count in below.items())
    counts = [count - before for (_, count), before in
              zip(limits, [0.0, *(count for _, count in limits)], strict=False)]
    return Buckets(sum_s, (0.0, *(limit for limit, _ in limits)), tuple(counts))
