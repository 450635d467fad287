# SPDX-License-Identifier: GPL-2.0
"""One device: everything that its areas do."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import queries
from dashboards.panels import (
    A_SECOND,
    COUNT,
    OF,
    PAGES,
    PAGES_A_SECOND,
    SECONDS,
    SHARE,
    board,
    figure,
    heat,
    row,
    series,
)

_BUCKETS = "cma_alloc_duration_seconds_bucket"


def made() -> Dashboard:
    """The dashboard."""
    found = board("CMA: one device", "cmaobs-device",
                  "What the areas of one device hold, who gets what how fast, and what is kept "
                  "aside.", several=False)
    for add in (_now, _pages, _operations, _latency, _failures, _phases, _deferred):
        add(found)
    return found


def _now(found: Dashboard) -> None:
    found.with_panel(figure(
        "In use", SHARE, "Share of the areas that callers hold.",
        (f"sum(cma_allocated_pages{{{OF}}}) / sum(cma_area_pages{{{OF}}})", ""), bad_from=0.9))
    found.with_panel(figure(
        "Longest clear run", PAGES, "The largest request that has room in any of the areas.",
        (f"max(cma_largest_clear_run_pages{{{OF}}})", "")))
    found.with_panel(figure(
        "Allocations", A_SECOND, "Calls of cma_alloc a second.",
        (f"sum({queries.rate('cma_alloc_total')})", "")))
    found.with_panel(figure(
        "Failed", A_SECOND, "Allocations a second that returned NULL.",
        (f"sum({queries.rate('cma_alloc_failures_total')})", ""), bad_from=0.01))
    found.with_panel(figure(
        "Allocation p99", SECONDS, "99 % of granted allocations took less. "
        + queries.QUANTILE_MEANS,
        (queries.quantile(0.99, "cma_alloc_duration_seconds", "instance", 'path!="failed"'), ""),
        bad_from=0.1))
    found.with_panel(figure(
        "Verdict: agrees", COUNT, "1 while the cross-check finds all that it saw lawful; 0 is "
        "unknown or a divergence.",
        ('max(cmaobs_model_verdict{instance=~"$instance",verdict="agree"})', ""), good_from=1))


def _pages(found: Dashboard) -> None:
    found.with_row(row("Pages"))
    found.with_panel(series(
        "What the areas hold", PAGES, "Allocated: held by callers. Free: in the buddy, perhaps "
        "lent to movable users. Deferred, where the kernel defers: kept aside for the next.",
        (f"cma_allocated_pages{{{OF}}}", "{{area}} allocated"),
        (f"cma_deferred_pages{{{OF}}}", "{{area}} deferred"),
        (f"cma_free_pages{{{OF}}}", "{{area}} free"), stacked=True))
    found.with_panel(series(
        "Fragmentation", SHARE, queries.FRAGMENTATION_MEANS,
        (queries.FRAGMENTATION, "{{area}}")))
    found.with_panel(series(
        "Clear runs by order", COUNT, "How many runs of clear bits there are, by length: order 4 "
        "is 16 to 31 pages. Many of low order and none of high: fragmented.",
        (f"cma_clear_runs{{{OF}}}", "{{area}} order {{order}}"), stacked=True))


def _operations(found: Dashboard) -> None:
    found.with_row(row("Operations"))
    found.with_panel(series(
        "Allocations by path", A_SECOND, "defer_hit: from the deferred list. contig: pages moved "
        "away, then taken from the buddy. failed: NULL.",
        (queries.rate("cma_alloc_total", "area, path"), "{{area}} {{path}}"), stacked=True))
    found.with_panel(series(
        "Pages granted and released", PAGES_A_SECOND, "Pages a second that callers got and gave "
        "back. Lines that part for long: pages are piling up.",
        (queries.rate("cma_alloc_pages_total", "area", 'path!="failed"'), "{{area}} granted"),
        (queries.rate("cma_release_pages_total", "area"), "{{area}} released")))


def _latency(found: Dashboard) -> None:
    found.with_row(row("Latency"))
    for path, title in (("defer_hit", "from the deferred list"), ("contig", "from the buddy")):
        found.with_panel(heat(
            f"cma_alloc, {title}", f"Time in cma_alloc with path {path}: allocations a second "
            "by duration. Limits are powers of two in nanoseconds.",
            queries.rate(_BUCKETS, "le", f'path="{path}"')))
    found.with_panel(series(
        "cma_alloc, quantiles by path", SECONDS, "p50 and p99 by path. " + queries.QUANTILE_MEANS,
        (queries.quantile(0.5, "cma_alloc_duration_seconds", "area, path"),
         "{{area}} {{path}} p50"),
        (queries.quantile(0.99, "cma_alloc_duration_seconds", "area, path"),
         "{{area}} {{path}} p99"), log=True))
    found.with_panel(series(
        "cma_release, p99 by kind", SECONDS, "deferred: put on the list. direct: given to the "
        "buddy at once. " + queries.QUANTILE_MEANS,
        (queries.quantile(0.99, "cma_release_duration_seconds", "area, kind"),
         "{{area}} {{kind}}"), log=True))


def _failures(found: Dashboard) -> None:
    found.with_row(row("Failures and busy pages"))
    found.with_panel(series(
        "Failures by cause", A_SECOND, queries.CAUSES_MEAN,
        (queries.rate("cma_alloc_failure_causes_total", "area, cause"), "{{area}} {{cause}}"),
        stacked=True))
    found.with_panel(series(
        "Failures by error", A_SECOND, "ENOMEM: no run long enough. EBUSY: pages could not be "
        "moved away. EINTR: the caller was killed.",
        (queries.rate("cma_alloc_failures_total", "area, errno"), "{{area}} {{errno}}")))
    found.with_panel(series(
        "Attempts on the contig path", A_SECOND, "Calls of alloc_contig_range by result. EBUSY is "
        "tried again further up: it costs time, and only the last one fails.",
        (queries.rate("cma_contig_total", "area, result"), "{{area}} {{result}}")))
    found.with_panel(series(
        "Retries", A_SECOND, "Allocations that tried more than one place because the first was "
        "busy, and the places that they tried beyond it.",
        (queries.rate("cma_alloc_retried_total", "area"), "{{area}} allocations"),
        (queries.rate("cma_alloc_retries_total", "area"), "{{area}} places")))


def _phases(found: Dashboard) -> None:
    found.with_row(row("Phases of allocations (empty without --phases)"))
    found.with_panel(series(
        "Time by phase", SECONDS, "Seconds that allocations spend in each phase, in a second. "
        + queries.PHASES_MEAN,
        (queries.rate("cma_alloc_phase_duration_seconds_sum", "area, phase"),
         "{{area}} {{phase}}"), stacked=True))
    found.with_panel(series(
        "p99 by phase", SECONDS, "99 % of the allocations that had the phase spent less in it. "
        + queries.QUANTILE_MEANS,
        (queries.quantile(0.99, "cma_alloc_phase_duration_seconds", "area, phase"),
         "{{area}} {{phase}}"), log=True))
    found.with_panel(series(
        "Pages moved", PAGES_A_SECOND, "Pages that allocations isolated, and of them migrated, "
        "reclaimed, or not to be moved (failed, each time that it was tried).",
        (queries.rate("cma_alloc_moved_pages_total", "area, what"), "{{area}} {{what}}")))


def _deferred(found: Dashboard) -> None:
    found.with_row(row("Deferred freeing (empty where the kernel does not defer)"))
    found.with_panel(series(
        "Share from the deferred list", SHARE, "Granted allocations that the deferred list served.",
        (queries.HIT_SHARE, "{{area}}")))
    found.with_panel(series(
        "Misses and scans", A_SECOND, "Misses: an allocation found deferred pages and could use no "
        "extent, so that it flushed the list. Scans: the shrinker asked for pages.",
        (queries.rate("cma_defer_misses_total", "area"), "{{area}} misses"),
        (queries.rate("cma_defer_scans_total", "area"), "{{area}} scans")))
    found.with_panel(series(
        "Extents", COUNT, "Extents on the deferred list.",
        (f"cma_deferred_extents{{{OF}}}", "{{area}}")))
    found.with_panel(series(
        "Batch", PAGES, "0 is off; else the smallest scan that frees.",
        (f"cma_defer_batch_pages{{{OF}}}", "{{area}}")))
