# SPDX-License-Identifier: GPL-2.0
"""PromQL that more than one dashboard asks. Each is selected by the variables."""

from __future__ import annotations

from dashboards.panels import OF, RATE

ONE = "{{instance}} {{area}}"


def rate(metric: str, by: str = "instance, area", where: str = "") -> str:
    """A counter's increase a second, summed by labels; where: more of the selector."""
    more = f",{where}" if where else ""
    return f"sum by ({by}) (rate({metric}{{{OF}{more}}}{RATE}))"


def quantile(share: float, metric: str, by: str, where: str = "") -> str:
    """A quantile in seconds, interpolated in a bucket of a factor of two."""
    return f"histogram_quantile({share}, {rate(metric + '_bucket', f'{by}, le', where)})"


def mean(metric: str, by: str, where: str = "") -> str:
    """Seconds an operation, exact; nothing while there are none."""
    return f"{rate(metric + '_sum', by, where)} / ({rate(metric + '_count', by, where)} > 0)"


GRANTED = rate("cma_alloc_total", where='path!="failed"')
HITS = rate("cma_alloc_total", where='path="defer_hit"')
HIT_SHARE = f"{HITS} / ({GRANTED} > 0)"
FAILED = rate("cma_alloc_failures_total", where='errno!="EINTR"')
FAILED_SHARE = f"{FAILED} / ({rate('cma_alloc_total')} > 0)"
CAUSES_MEAN = (
    "no_room: fewer pages were clear than it asked for. fragmented: enough, but in no run. busy: "
    "pages could not be moved away. oversize: more than the area has. docs/why.md has all.")
TRIED_AGAIN = f"{rate('cma_alloc_retried_total')} / ({rate('cma_alloc_total')} > 0)"
IN_USE = f"cma_allocated_pages{{{OF}}} / cma_area_pages{{{OF}}}"
FRAGMENTATION = (f"1 - cma_largest_clear_run_pages{{{OF}}} / "
                 f"((cma_area_pages{{{OF}}} - cma_allocated_pages{{{OF}}}) > 0)")
_PHASE_TIME = "cma_alloc_phase_duration_seconds_sum"
PHASE_SHARE = (f"{rate(_PHASE_TIME, 'instance, area, phase')} / on (instance, area) group_left () "
               f"({rate(_PHASE_TIME)} > 0)")
PHASES_MEAN = ("waiting: for another allocation. draining: pages off per-CPU lists. migrating: "
               "moving pages away. unexplained: in none. Empty without `--phases`.")
GRANTED_P99 = quantile(0.99, "cma_alloc_duration_seconds", "instance, area", 'path!="failed"')

FRAGMENTATION_MEANS = (
    "0: all clear pages are one run. Near 1: none of the runs is long, so that a large request "
    "fails although there is room.")
QUANTILE_MEANS = ("Interpolated between bucket limits that are a factor of two apart: half or "
                  "twice of it may be true.")
