# SPDX-License-Identifier: GPL-2.0
"""What people want to know of an interval: figures of each area from two frames. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from cmaobs import phases
from cmaobs.top.frame import Buckets, Frame

# Shown as, histogram, its label value beside the area.
_PATHS = (
    ("alloc defer_hit", "cma_alloc_duration_seconds", "defer_hit"),
    ("alloc contig", "cma_alloc_duration_seconds", "contig"),
    ("alloc failed", "cma_alloc_duration_seconds", "failed"),
    ("release deferred", "cma_release_duration_seconds", "deferred"),
    ("release direct", "cma_release_duration_seconds", "direct"),
    ("scan", "cma_defer_scan_duration_seconds", None),
)
_PHASES = tuple((f"phase {name}", "cma_alloc_phase_duration_seconds", name)
                for name in phases.NAMES)


class PathFigures(NamedTuple):
    """One way that operations take. per_s: None where there is no interval. taken: durations of
    the interval, or since the observer began where there is none.
    """

    name: str
    per_s: float | None
    taken: Buckets


@dataclass(frozen=True, slots=True)
class AreaFigures:
    """One area. Pages, shares from 0 to 1, and per second; None where it is not known.

    hit_share: of what was granted. misses, scans, reclaimed, failed, retried (allocations that
    tried more than one place), retries (places beyond the first): in the interval, or in all where
    there is none. failures, causes: by errno and by cause, in all. phases: of allocations through
    the buddy; none where they are not observed. policy: None too where the kernel has but one.
    """

    name: str
    pages: float
    allocated: float | None
    deferred: float | None
    free: float | None
    extents: float | None
    largest: float | None
    batch: float | None
    policy: str | None
    hit_share: float | None
    allocs_per_s: float | None
    releases_per_s: float | None
    failed: float
    misses: float | None
    scans: float | None
    reclaimed: float | None
    retried: float | None
    retries: float | None
    failures: tuple[tuple[str, float], ...]
    causes: tuple[tuple[str, float], ...]
    paths: tuple[PathFigures, ...]
    phases: tuple[PathFigures, ...]

    @property
    def use(self) -> float | None:
        """Share that callers hold."""
        return None if self.allocated is None or not self.pages else self.allocated / self.pages

    @property
    def fragmentation(self) -> float | None:
        """0: all clear pages are one run; towards 1: none is long. None where none is clear."""
        if self.allocated is None or self.largest is None or self.pages <= self.allocated:
            return None
        return 1 - self.largest / (self.pages - self.allocated)

    @property
    def p99(self) -> tuple[float, float] | None:
        """Bounds in seconds of the slowest way to be granted pages."""
        found = [bounds for path in self.paths if path.name in ("alloc defer_hit", "alloc contig")
                 if (bounds := path.taken.quantile(0.99)) is not None]
        return max(found, default=None)


def areas(now: Frame, before: Frame | None) -> list[AreaFigures]:
    """Figures of every area since before, or since the observer began."""
    seconds = now.wall_s - before.wall_s if before is not None else 0.0
    if seconds <= 0:
        before, seconds = None, 0.0
    return [_area(name, now, before, seconds) for name in now.areas]


def _area(name: str, now: Frame, before: Frame | None, seconds: float) -> AreaFigures:
    def grown(metric: str, *labels: str) -> float | None:
        value = now.number(metric, name, *labels)
        if value is None or before is None:
            return value
        then = before.number(metric, name, *labels) or 0.0
        return value - then if value >= then else value

    def per_s(metric: str, *kinds: str) -> float | None:
        counts = [grown(metric, kind) for kind in kinds]
        known = [count for count in counts if count is not None]
        return sum(known) / seconds if known and seconds else None

    hits, contig = grown("cma_alloc_total", "defer_hit"), grown("cma_alloc_total", "contig")
    granted = (hits or 0) + (contig or 0)
    return AreaFigures(
        name, now.number("cma_area_pages", name) or 0,
        now.number("cma_allocated_pages", name), now.number("cma_deferred_pages", name),
        now.number("cma_free_pages", name), now.number("cma_deferred_extents", name),
        now.number("cma_largest_clear_run_pages", name),
        now.number("cma_defer_batch_pages", name), now.policy(name),
        hits / granted if hits is not None and granted else None,
        per_s("cma_alloc_total", "defer_hit", "contig", "failed"),
        per_s("cma_release_total", "deferred", "direct"),
        grown("cma_alloc_total", "failed") or 0, grown("cma_defer_misses_total"),
        grown("cma_defer_scans_total"), grown("cma_defer_scan_reclaimed_pages_total"),
        grown("cma_alloc_retried_total"), grown("cma_alloc_retries_total"),
        _by(now, "cma_alloc_failures_total", name),
        _by(now, "cma_alloc_failure_causes_total", name),
        tuple(_timed(_PATHS, name, now, before, seconds)),
        tuple(_timed(_PHASES, name, now, before, seconds)))


def _by(now: Frame, metric: str, area: str) -> tuple[tuple[str, float], ...]:
    """A counter of the area by its other label, those that are not 0."""
    return tuple((labels[1], count) for labels in now.labels(metric)
                 if labels[0] == area and (count := now.number(metric, *labels)))


def _timed(kinds: tuple[tuple[str, str, str | None], ...], area: str, now: Frame,
           before: Frame | None, seconds: float) -> list[PathFigures]:
    found = []
    for shown, metric, kind in kinds:
        labels = (area,) if kind is None else (area, kind)
        buckets = now.buckets(metric, *labels)
        if buckets is None or not buckets.count:
            continue
        taken = buckets.since(before.buckets(metric, *labels) if before is not None else None)
        found.append(PathFigures(shown, taken.count / seconds if seconds else None, taken))
    return found


def data(now: Frame, before: Frame | None) -> dict[str, Any]:
    """The same for programs, ready for JSON. Bounds of quantiles are pairs, null being no limit."""
    seconds = now.wall_s - before.wall_s if before is not None else None
    return {
        "time_s": now.wall_s, "interval_s": seconds, "verdict": now.outcome or None,
        "unknown_because": list(now.reasons), "divergences": list(now.divergences),
        "losses": {kind: now.number("cmaobs_losses_total", kind)
                   for (kind,) in now.labels("cmaobs_losses_total")},
        "areas": [_data(one) for one in areas(now, before)],
        "latest_failures": [one.data() for one in now.failures]}


def _data(one: AreaFigures) -> dict[str, Any]:
    return {
        "name": one.name, "pages": one.pages, "allocated_pages": one.allocated,
        "deferred_pages": one.deferred, "free_pages": one.free, "use": one.use,
        "largest_clear_run_pages": one.largest, "fragmentation": one.fragmentation,
        "hit_share": one.hit_share, "allocs_per_s": one.allocs_per_s,
        "releases_per_s": one.releases_per_s, "failed": one.failed, "failures": dict(one.failures),
        "failure_causes": dict(one.causes), "policy": one.policy, "retried": one.retried,
        "retries": one.retries,
        "paths": _times(one.paths), "phases": _times(one.phases)}


def _times(paths: tuple[PathFigures, ...]) -> dict[str, Any]:
    return {path.name: {"count": path.taken.count, "per_s": path.per_s,
                        "total_s": path.taken.sum_s, "p50_s": _bounds(path.taken, 0.5),
                        "p99_s": _bounds(path.taken, 0.99)} for path in paths}


def _bounds(taken: Buckets, share: float) -> list[float | None] | None:
    found = taken.quantile(share)
    return None if found is None else [None if math.isinf(end) else end for end in found]
