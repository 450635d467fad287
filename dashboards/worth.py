# SPDX-License-Identifier: GPL-2.0
"""Is deferred freeing worth it: what it brings, against what it costs everyone else."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import queries
from dashboards.panels import (
    A_SECOND,
    OF,
    PAGES,
    PAGES_A_SECOND,
    SECONDS,
    SHARE,
    board,
    figure,
    row,
    series,
)
from dashboards.queries import ONE

_TIME = "cma_alloc_duration_seconds"
_HIT, _CONTIG = 'path="defer_hit"', 'path="contig"'
_SAVED = (f"{queries.HITS} * (({queries.mean(_TIME, 'instance, area', _CONTIG)})"
          f" - ({queries.mean(_TIME, 'instance, area', _HIT)}))")


def made() -> Dashboard:
    """The dashboard."""
    found = board("CMA: is deferred freeing worth it", "cmaobs-worth",
                  "Time that allocations save by finding their pages on the deferred list, and the "
                  "memory and work that others pay for it. Empty where the kernel does not defer.")
    for add in (_answer, _brings, _costs):
        add(found)
    return found


def _answer(found: Dashboard) -> None:
    found.with_panel(figure(
        "Hit share", SHARE, "Granted allocations that the deferred list served.",
        (f"sum({queries.HITS}) / sum({queries.GRANTED})", ""), width=6))
    found.with_panel(figure(
        "Saved", SECONDS, "Seconds of waiting saved each second, estimated: hits would have taken "
        "what the contig path took on average at the same time. They may have been of other sizes.",
        (f"sum({_SAVED})", ""), width=6))
    found.with_panel(figure(
        "Withheld", SHARE, "Deferred pages as a share of the areas: memory that nobody uses "
        "until the next allocation, or until the shrinker gives it back.",
        (f"sum(cma_deferred_pages{{{OF}}}) / sum(cma_area_pages{{{OF}}})", ""), width=6))
    found.with_panel(figure(
        "Thrown away", SHARE, "Of the pages put on the list, those that a miss flushed or the "
        "shrinker took: they were kept for nothing.",
        (f"(sum({queries.rate('cma_defer_flushed_pages_total')})"
         f" + sum({queries.rate('cma_defer_scan_freed_pages_total')}))"
         f" / sum({queries.rate('cma_release_pages_total', where=_kind('deferred'))})", ""),
        width=6))


def _brings(found: Dashboard) -> None:
    found.with_row(row("What it brings"))
    found.with_panel(series(
        "Time of an allocation, by path", SECONDS, "Mean time in cma_alloc by path; exact, from "
        "the sums made in the kernel.",
        (queries.mean(_TIME, "instance, area, path", 'path!="failed"'), ONE + " {{path}}"),
        log=True))
    found.with_panel(series(
        "p99 of all that is granted, against contig alone", SECONDS, "How far the hits pull the "
        "99th percentile below that of the contig path. With fewer than 99 % hits they cannot. "
        + queries.QUANTILE_MEANS,
        (queries.GRANTED_P99, ONE + " granted"),
        (queries.quantile(0.99, _TIME, "instance, area", _CONTIG), ONE + " contig"), log=True))
    found.with_panel(series(
        "Hit share", SHARE, "Granted allocations that the deferred list served, by area.",
        (queries.HIT_SHARE, ONE)))
    found.with_panel(series(
        "Time saved", SECONDS, "Seconds of waiting saved each second, estimated as above, by area. "
        "Below zero: hits took longer than the contig path.", (_SAVED, ONE), bounded=False))
    found.with_panel(series(
        "Time of a release, by kind", SECONDS, "Mean time in cma_release by kind. deferred: the "
        "extent was put on the list. direct: it was given to the buddy at once.",
        (queries.mean("cma_release_duration_seconds", "instance, area, kind"),
         ONE + " {{kind}}"), log=True))


def _costs(found: Dashboard) -> None:
    found.with_row(row("What it costs"))
    found.with_panel(series(
        "Withheld", PAGES, "Pages on the deferred list, and the batch from which scans free.",
        (f"cma_deferred_pages{{{OF}}}", ONE + " deferred"),
        (f"cma_defer_batch_pages{{{OF}}}", ONE + " batch")))
    found.with_panel(series(
        "Where deferred pages went", PAGES_A_SECOND, "Used: granted from the list. Flushed: given "
        "to the buddy by a miss. Reclaimed: by the shrinker. Batch 0: by switching off.",
        (queries.rate("cma_alloc_pages_total", where=_HIT), ONE + " used"),
        (queries.rate("cma_defer_flushed_pages_total"), ONE + " flushed"),
        (queries.rate("cma_defer_scan_freed_pages_total"), ONE + " reclaimed"),
        (queries.rate("cma_defer_batch_freed_pages_total"), ONE + " batch 0"), stacked=True))
    found.with_panel(series(
        "Misses", A_SECOND, "Allocations that found no fitting extent and paid for a flush on top.",
        (queries.rate("cma_defer_misses_total"), ONE)))
    found.with_panel(series(
        "Scans", A_SECOND, "Scans by the shrinker, and those that stopped because little was left.",
        (queries.rate("cma_defer_scans_total"), ONE + " scans"),
        (queries.rate("cma_defer_scans_stopped_total"), ONE + " stopped")))
    found.with_panel(series(
        "Reclaim: asked and got", PAGES_A_SECOND, "Pages that scans were asked for, and that they "
        "said they freed.",
        (queries.rate("cma_defer_scan_asked_pages_total"), ONE + " asked"),
        (queries.rate("cma_defer_scan_reclaimed_pages_total"), ONE + " reclaimed")))
    found.with_panel(series(
        "Time in scans", SHARE, "Share of one CPU that reclaim spends in cma_defer_free_scan.",
        (queries.rate("cma_defer_scan_duration_seconds_sum"), ONE), bounded=False))


def _kind(kind: str) -> str:
    return f'kind="{kind}"'
