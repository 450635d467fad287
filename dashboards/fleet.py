# SPDX-License-Identifier: GPL-2.0
"""Overview of a fleet: which devices need a look."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import queries
from dashboards.panels import A_SECOND, COUNT, OF, SECONDS, SHARE, board, figure, row, series
from dashboards.queries import ONE

_DEVICE = 'instance=~"$instance"'


def _worst(expression: str) -> str:
    return f"topk(10, {expression})"


def made() -> Dashboard:
    """The dashboard."""
    return (
        board("CMA: overview of a fleet", "cmaobs-fleet",
              "Use, failures, latency and verdicts of many devices; the worst ten of each.")
        .with_panel(figure(
            "Devices", COUNT, "Devices whose exporter was scraped.",
            (f"count(cmaobs_up{{{_DEVICE}}})", "")))
        .with_panel(figure(
            "Not observed", COUNT, "Exporters that answer that observing failed.",
            (f"count(cmaobs_up{{{_DEVICE}}}) - sum(cmaobs_up{{{_DEVICE}}})", ""), bad_from=1))
        .with_panel(figure(
            "Diverge", COUNT, "Devices whose kernel broke a rule of deferred freeing.",
            (f'sum(cmaobs_model_verdict{{{_DEVICE},verdict="diverge"}})', ""), bad_from=1))
        .with_panel(figure(
            "Unknown", COUNT, "Devices where the cross-check cannot say, idle ones included.",
            (f'sum(cmaobs_model_verdict{{{_DEVICE},verdict="unknown"}})', "")))
        .with_panel(figure(
            "Allocations", A_SECOND, "Allocations from CMA of all devices chosen.",
            (f"sum({queries.rate('cma_alloc_total')})", "")))
        .with_panel(figure(
            "Failed", A_SECOND, "Allocations that returned NULL, of all devices chosen.",
            (f"sum({queries.rate('cma_alloc_failures_total')})", ""), bad_from=0.01))
        .with_row(row("The worst"))
        .with_panel(series(
            "Share of allocations that failed", SHARE,
            "The ten areas where most fail. Callers that were killed while waiting (EINTR) do not "
            "count.", (_worst(queries.FAILED_SHARE), ONE)))
        .with_panel(series(
            "Allocation p99", SECONDS,
            "The ten areas with the longest 99th percentile of granted allocations. "
            + queries.QUANTILE_MEANS, (_worst(queries.GRANTED_P99), ONE), log=True))
        .with_panel(series(
            "In use", SHARE, "Share of the area that callers hold, the ten fullest.",
            (_worst(queries.IN_USE), ONE)))
        .with_panel(series(
            "Fragmentation", SHARE, queries.FRAGMENTATION_MEANS + " The ten worst.",
            (_worst(queries.FRAGMENTATION), ONE)))
        .with_row(row("The rest"))
        .with_panel(series(
            "Allocations", A_SECOND, "Allocations by device and path.",
            (queries.rate("cma_alloc_total", "instance, path"), "{{instance}} {{path}}")))
        .with_panel(series(
            "Failures by cause", A_SECOND, queries.CAUSES_MEAN,
            (queries.rate("cma_alloc_failure_causes_total", "cause"), "{{cause}}"), stacked=True))
        .with_panel(series(
            "Share from the deferred list", SHARE,
            "Granted allocations that the deferred list served; nothing where the kernel does not "
            "defer.", (queries.HIT_SHARE, ONE)))
        .with_panel(series(
            "Kernels", COUNT, "Devices by kernel release, and whether it defers.",
            (f"count by (release, patched) (cma_kernel_info{{{_DEVICE}}})",
             "{{release}}, defers: {{patched}}")))
        .with_panel(series(
            "Verdicts", COUNT, "Devices by the cross-check's verdict.",
            (f"sum by (verdict) (cmaobs_model_verdict{{{_DEVICE}}})", "{{verdict}}"),
            stacked=True))
        .with_panel(series(
            "Pages of areas", COUNT, "Pages of all areas chosen, by device.",
            (f"sum by (instance) (cma_area_pages{{{OF}}})", "{{instance}}"), stacked=True)))
