# SPDX-License-Identifier: GPL-2.0
"""What is wrong: each way in which CMA or its observer can be, from the worst on."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import queries
from dashboards.panels import (
    A_SECOND,
    COUNT,
    OF,
    PAGES,
    PAGES_A_SECOND,
    RATE,
    SECONDS,
    SHARE,
    board,
    figure,
    row,
    series,
)
from dashboards.queries import ONE

_DEVICE = 'instance=~"$instance"'
_RANGE = "[$__range]"


def made() -> Dashboard:
    """The dashboard."""
    found = board("CMA: what is wrong", "cmaobs-wrong",
                  "Failures, slowness, leaks, broken rules, and what the observer missed. All zero "
                  "or flat is how it should be.")
    for add in (_now, _kernel, _busy, _rules, _observer):
        add(found)
    return found


def _now(found: Dashboard) -> None:
    found.with_panel(figure(
        "Failed", COUNT, "Allocations that returned NULL in the time shown.",
        (f"sum(increase(cma_alloc_failures_total{{{OF}}}{_RANGE}))", ""), bad_from=1))
    found.with_panel(figure(
        "Broken rules", COUNT, "Divergences from the model since the observers started.",
        (f"sum(cmaobs_model_divergences_total{{{_DEVICE}}})", ""), bad_from=1))
    found.with_panel(figure(
        "Worst fragmentation", SHARE, queries.FRAGMENTATION_MEANS,
        (f"max({queries.FRAGMENTATION})", ""), bad_from=0.9))
    found.with_panel(figure(
        "Worst p99", SECONDS, "The longest 99th percentile of granted allocations of any area. "
        + queries.QUANTILE_MEANS, (f"max({queries.GRANTED_P99})", ""), bad_from=0.1))
    found.with_panel(figure(
        "Lost events", COUNT, "What the observers lost in the time shown, of all kinds.",
        (f"sum(increase(cmaobs_losses_total{{{_DEVICE}}}{_RANGE}))", ""), bad_from=1))
    found.with_panel(figure(
        "Oldest reading", SECONDS, "How old the figures of the worst observer are.",
        (f"max(time() - cmaobs_last_reading_timestamp_seconds{{{_DEVICE}}})", ""), bad_from=60))


def _kernel(found: Dashboard) -> None:
    found.with_row(row("Allocations"))
    found.with_panel(series(
        "Failures by cause", A_SECOND, queries.CAUSES_MEAN,
        (queries.rate("cma_alloc_failure_causes_total", "instance, area, cause"),
         ONE + " {{cause}}"), stacked=True))
    found.with_panel(series(
        "Failures by error", A_SECOND, "ENOMEM: no run long enough, see fragmentation and use. "
        "EBUSY: pages could not be moved away. EINTR: the caller was killed.",
        (queries.rate("cma_alloc_failures_total", "instance, area, errno"), ONE + " {{errno}}")))
    found.with_panel(series(
        "Longest clear run against what is clear", PAGES, "Far apart: fragmented. Both low: full.",
        (f"cma_largest_clear_run_pages{{{OF}}}", ONE + " longest"),
        (f"cma_area_pages{{{OF}}} - cma_allocated_pages{{{OF}}}", ONE + " clear")))
    found.with_panel(series(
        "Least held within an hour", PAGES, "Rising for hours under a load that does not grow: "
        "pages leak. A load that comes and goes falls back to the same floor.",
        (f"min_over_time(cma_allocated_pages{{{OF}}}[1h])", ONE)))
    found.with_panel(series(
        "Rejected releases", A_SECOND, "cma_release of pages that are not the area's: a caller "
        "mixes up its pages.",
        (queries.rate("cma_release_total", where='kind="rejected"'), ONE)))


def _busy(found: Dashboard) -> None:
    found.with_row(row("Busy pages, and where time goes"))
    found.with_panel(series(
        "Tried in vain", SHARE, "Share of alloc_contig_range calls that found pages busy: the area "
        "is lent to users that hold on to it.",
        (queries.rate("cma_contig_total", where='result="EBUSY"')
         + f" / ({queries.rate('cma_contig_total')} > 0)", ONE)))
    found.with_panel(series(
        "Tried several places", SHARE, "Share of allocations that found their first place busy. "
        "Each further place costs a whole alloc_contig_range.", (queries.TRIED_AGAIN, ONE)))
    found.with_panel(series(
        "Pages that would not move", PAGES_A_SECOND, "Pages that migration gave up, each time that "
        "it tried: pinned, or under I/O. `cmaobs check` tells the first of each place. Empty "
        "without `--phases`.",
        (queries.rate("cma_alloc_moved_pages_total", where='what="failed"'), ONE)))
    found.with_panel(series(
        "Share of the time by phase", SHARE, "Of the time of allocations that took pages from the "
        "buddy. " + queries.PHASES_MEAN, (queries.PHASE_SHARE, ONE + " {{phase}}")))


def _rules(found: Dashboard) -> None:
    found.with_row(row("Rules of deferred freeing"))
    found.with_panel(series(
        "Divergences by rule", COUNT, "Since the observer started. docs/rules.md has the rules; "
        "`cmaobs explain` tells what led there.",
        (f"sum by (instance, rule) (cmaobs_model_divergences_total{{{_DEVICE}}})",
         "{{instance}} {{rule}}")))
    found.with_panel(series(
        "Verdict", COUNT, "1 at the verdict that holds.",
        (f"cmaobs_model_verdict{{{_DEVICE}}}", "{{instance}} {{verdict}}")))
    found.with_panel(series(
        "Not decided", SHARE, "Share of the operations seen that the cross-check could not settle, "
        "or has not yet.",
        (f"1 - cmaobs_model_decided_total{{{OF}}} / (cmaobs_model_operations_total{{{OF}}} > 0)",
         ONE)))
    found.with_panel(series(
        "Since it was last compared at rest", SECONDS, "Age of the latest page by page comparison. "
        "Under load that never rests it grows.",
        (f"time() - cmaobs_model_last_rest_timestamp_seconds{{{OF}}}", ONE)))


def _observer(found: Dashboard) -> None:
    found.with_row(row("The observer"))
    found.with_panel(series(
        "Losses by kind", A_SECOND, "docs/wire.md names the kinds. Each makes the verdict unknown "
        "for a while; counts stay exact, except for operations that no probe saw.",
        (f"sum by (instance, kind) (rate(cmaobs_losses_total{{{_DEVICE}}}{RATE}))",
         "{{instance}} {{kind}}")))
    found.with_panel(series(
        "Contradictions", COUNT, "Counts that differ from records although nothing was lost, "
        "records that cannot be, snapshots that could not be used. The first two: cmaobs's fault.",
        (f"cmaobs_counts_mismatched_total{{{_DEVICE}}}", "{{instance}} counts mismatched"),
        (f"cmaobs_records_impossible_total{{{_DEVICE}}}", "{{instance}} records impossible"),
        (f"cmaobs_snapshots_faulted_total{{{OF}}}", ONE + " snapshots faulted")))
    found.with_panel(series(
        "Age of the latest reading", SECONDS, "All figures are so old. It includes what the clocks "
        "of device and server differ.",
        (f"time() - cmaobs_last_reading_timestamp_seconds{{{_DEVICE}}}", "{{instance}}"),
        bounded=False))
    found.with_panel(series(
        "Observing", COUNT, "1 while the kernel is being observed, 0 once that failed.",
        (f"cmaobs_up{{{_DEVICE}}}", "{{instance}}")))
