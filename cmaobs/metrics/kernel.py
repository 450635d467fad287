# SPDX-License-Identifier: GPL-2.0
"""Samples of the kernel's behaviour: counts, histograms, and the areas as they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cmaobs import policies, where
from cmaobs.state import AreaCounts, AreaState, Latency
from cmaobs.view import View, allocated_pages, clear_runs, free_pages, largest_clear_run

Sample = tuple[str, tuple[str, ...], float | Latency]

# Metric, second label, member of struct cmaobs_counters.
_COUNTERS = (
    ("cma_alloc_total", "contig", "allocs_contig"),
    ("cma_alloc_failures_total", "ENOMEM", "allocs_enomem"),
    ("cma_alloc_failures_total", "EBUSY", "allocs_ebusy"),
    ("cma_alloc_failures_total", "EINTR", "allocs_eintr"),
    ("cma_alloc_failures_total", "other", "allocs_other"),
    ("cma_alloc_retried_total", None, "allocs_retried"),
    ("cma_alloc_retries_total", None, "alloc_retries"),
    ("cma_alloc_pages_total", "contig", "alloc_pages_contig"),
    ("cma_alloc_pages_total", "failed", "alloc_pages_failed"),
    ("cma_contig_total", "ok", "contig_ok"),
    ("cma_contig_total", "EBUSY", "contig_ebusy"),
    ("cma_contig_total", "error", "contig_error"),
    ("cma_release_total", "direct", "releases_direct"),
    ("cma_release_total", "rejected", "releases_rejected"),
    ("cma_release_pages_total", "direct", "release_pages_direct"),
)
_DEFER_COUNTERS = (
    ("cma_alloc_total", "defer_hit", "allocs_hit"),
    ("cma_alloc_pages_total", "defer_hit", "alloc_pages_hit"),
    ("cma_release_total", "deferred", "releases_deferred"),
    ("cma_release_pages_total", "deferred", "release_pages_deferred"),
    ("cma_defer_hits_total", None, "allocs_hit"),
    ("cma_defer_misses_total", None, "flushes"),
    ("cma_defer_flushed_pages_total", None, "flushed_pages"),
    ("cma_defer_flushed_extents_total", None, "flushed_extents"),
    ("cma_defer_counts_total", None, "counts"),
    ("cma_defer_scans_total", None, "scans"),
    ("cma_defer_scans_stopped_total", None, "scans_stopped"),
    ("cma_defer_scan_asked_pages_total", None, "scan_pages_asked"),
    ("cma_defer_scan_reclaimed_pages_total", None, "scan_pages_returned"),
    ("cma_defer_scan_freed_pages_total", None, "scan_pages_freed"),
    ("cma_defer_batch_writes_total", None, "batch_writes"),
    ("cma_defer_batch_freed_pages_total", None, "batch_pages_freed"),
)
FAILURES = ("allocs_enomem", "allocs_ebusy", "allocs_eintr", "allocs_other")

# Metric, second label, enum cmaobs_hist.
_HISTOGRAMS = (
    ("cma_alloc_duration_seconds", "contig", "alloc_contig"),
    ("cma_alloc_duration_seconds", "failed", "alloc_failed"),
    ("cma_contig_duration_seconds", None, "contig"),
    ("cma_release_duration_seconds", "direct", "release_direct"),
)
_DEFER_HISTOGRAMS = (
    ("cma_alloc_duration_seconds", "defer_hit", "alloc_hit"),
    ("cma_release_duration_seconds", "deferred", "release_deferred"),
    ("cma_defer_scan_duration_seconds", None, "scan"),
)


def samples(view: View) -> Iterator[Sample]:
    """Everything named cma_*."""
    yield ("cma_kernel_info",
           (view.identity.get("release", ""), view.identity.get("machine", ""),
            "yes" if view.patched else "no"), 1)
    for facts in view.areas:
        yield "cma_area_pages", (facts.name,), facts.count
    if view.reading is None:
        return
    for facts in view.areas:
        for cause, count in view.causes.get(facts.index, {}).items():
            yield "cma_alloc_failure_causes_total", (facts.name, cause), count
    for counts in view.reading.counts:
        yield from _counts(counts, view.patched)
    for state in view.reading.states:
        if not state.fault:
            yield from _state(state)


def _counts(counts: AreaCounts, patched: bool) -> Iterator[Sample]:
    area = counts.facts.name
    values = counts.counters
    for name, label, member in _COUNTERS + (_DEFER_COUNTERS if patched else ()):
        if member in values:
            yield name, (area,) if label is None else (area, label), values[member]
    yield ("cma_alloc_total", (area, "failed"),
           sum(values.get(member, 0) for member in FAILURES))
    for name, label, kind in _HISTOGRAMS + (_DEFER_HISTOGRAMS if patched else ()):
        if kind in counts.latencies:
            yield (name, (area,) if label is None else (area, label), counts.latencies[kind])
    for phase, one in counts.phases.items():
        yield "cma_alloc_phase_duration_seconds", (area, phase), one
    for what, pages in counts.moved.items():
        if what != "missed":
            yield "cma_alloc_moved_pages_total", (area, what), pages


def _state(state: AreaState) -> Iterator[Sample]:
    area = (state.facts.name,)
    yield "cma_allocated_pages", area, allocated_pages(state)
    yield "cma_free_pages", area, free_pages(state)
    yield "cma_largest_clear_run_pages", area, largest_clear_run(state)
    clear = clear_runs(state)
    orders = where.by_order(clear)
    for order in range(state.facts.count.bit_length()):
        yield "cma_clear_runs", (*area, str(order)), orders.get(order, 0)
    fragmentation = where.fragmentation(clear)
    if fragmentation is not None:
        yield "cma_fragmentation_ratio", area, fragmentation
    if state.placed is not None and not state.placed.fault:
        for place, runs in where.places(state).items():
            if place in ("buddy", "lent", "elsewhere"):
                yield f"cma_{place}_pages", area, sum(pages for _, pages in runs)
    for name, value in (
            ("cma_deferred_pages", state.defer_count),
            ("cma_deferred_extents", None if state.extents is None else len(state.extents)),
            ("cma_defer_batch_pages", state.batch)):
        if value is not None:
            yield name, area, value
    if state.policy is not None:
        yield "cma_defer_policy_info", (*area, policies.name_of(state.policy)), 1
    for result, pages in (("success", state.pages_succeeded), ("fail", state.pages_failed)):
        if pages is not None:
            yield "cma_kernel_alloc_pages_total", (*area, result), pages
