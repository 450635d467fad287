# SPDX-License-Identifier: GPL-2.0
"""Every metric: name, type, labels, meaning. The documentation is made from this. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    name: as queried; a counter's ends in _total. help: one sentence.
    when: "always", "patched" where only a kernel that defers has it, "live"
    where a recording need not have it, "sysfs" where CMA_SYSFS must be built in, "callers" where
    holders are followed and there is one, "buffers" where dma-bufs are looked up, "lent" where the
    places of free pages are, "web" where the server has a web configuration, "counted" where a
    recording is not of a version before that, "phases" where they are asked for, "policies" where
    an area's policy can be set, "max-rate" where there is one.
    """

    name: str
    type: Type
    labels: tuple[str, ...]
    help: str
    when: Literal["always", "patched", "live", "sysfs", "callers", "buffers",
                  "lent", "web", "counted", "phases", "policies", "max-rate"] = "always"


_A = ("area",)
_C = ("area", "kind", "caller", "driver")

METRICS = (
    Metric("cma_alloc_total", "counter", ("area", "path"),
           "Allocations; path is defer_hit (from the deferred list), contig (from the buddy) "
           "or failed (returned NULL)."),
    Metric("cma_alloc_failures_total", "counter", ("area", "errno"),
           "Failed allocations by the error that ended them: ENOMEM, EBUSY, EINTR or other."),
    Metric("cma_alloc_failure_causes_total", "counter", ("area", "cause"),
           "Failed allocations by cause, decided from records and bitmaps: see why.md. A failure "
           "counts a reading or two after its errno does."),
    Metric("cma_alloc_retried_total", "counter", _A,
           "Allocations that tried more than one place.", "counted"),
    Metric("cma_alloc_retries_total", "counter", _A,
           "Places that allocations tried beyond their first.", "counted"),
    Metric("cma_alloc_pages_total", "counter", ("area", "path"),
           "Pages granted; with path failed, pages asked for in vain."),
    Metric("cma_alloc_duration_seconds", "histogram", ("area", "path"),
           "Time in cma_alloc."),
    Metric("cma_contig_total", "counter", ("area", "result"),
           "Calls of alloc_contig_range inside allocations; result is ok, EBUSY (tried again "
           "further up) or error."),
    Metric("cma_contig_duration_seconds", "histogram", _A,
           "Time in alloc_contig_range inside allocations."),
    Metric("cma_alloc_phase_duration_seconds", "histogram", ("area", "phase"),
           "Time of allocations by what they did: waiting, flushing, isolating, draining, "
           "reclaiming, migrating, testing, and unexplained, which is none of these; each "
           "allocation once in each phase that it had. The sums add up to the time of these "
           "allocations.", "phases"),
    Metric("cma_alloc_moved_pages_total", "counter", ("area", "what"),
           "Pages that allocations isolated, and of them: migrated, failed (each time that they "
           "were tried), reclaimed.", "phases"),
    Metric("cma_release_total", "counter", ("area", "kind"),
           "Releases; kind is deferred, direct (given to the buddy at once) or rejected "
           "(pages not of this area)."),
    Metric("cma_release_pages_total", "counter", ("area", "kind"),
           "Pages released."),
    Metric("cma_release_duration_seconds", "histogram", ("area", "kind"),
           "Time in cma_release."),
    Metric("cma_area_pages", "gauge", _A, "Pages of the area."),
    Metric("cma_allocated_pages", "gauge", _A, "Pages whose bit is set."),
    Metric("cma_free_pages", "gauge", _A,
           "Pages in the buddy: neither allocated nor deferred."),
    Metric("cma_largest_clear_run_pages", "gauge", _A,
           "Longest run of clear bits, deferred pages included: the largest request with room."),
    Metric("cma_fragmentation_ratio", "gauge", _A,
           "Share of the clear pages that is not in the longest run: 0 is one run, near 1 is none "
           "that is long. Absent while no page is clear."),
    Metric("cma_clear_runs", "gauge", ("area", "order"),
           "Runs of clear bits, deferred pages included, of 2^order pages to less than twice as "
           "many."),
    Metric("cma_buddy_pages", "gauge", _A,
           "Of the free pages, those free in the buddy, as the kernel's page flags have it a "
           "moment later.", "lent"),
    Metric("cma_lent_pages", "gauge", _A,
           "Of the free pages, those in use by movable users, who are moved for an allocation.",
           "lent"),
    Metric("cma_elsewhere_pages", "gauge", _A,
           "Of the free pages, the rest: on a CPU's list of free pages, or on their way.", "lent"),
    Metric("cma_kernel_alloc_pages_total", "counter", ("area", "result"),
           "Pages allocated as the kernel counts them in sysfs since boot; result is success "
           "or fail.", "sysfs"),
    Metric("cma_defer_hits_total", "counter", _A,
           "Allocations served by one extent of the deferred list (R5).", "patched"),
    Metric("cma_defer_misses_total", "counter", _A,
           "Allocations that no extent could serve although pages were deferred, and that "
           "therefore flushed the list, or what of it they overlapped (R6).", "patched"),
    Metric("cma_defer_flushed_pages_total", "counter", _A,
           "Pages that misses gave to the buddy.", "patched"),
    Metric("cma_defer_flushed_extents_total", "counter", _A,
           "Extents that misses gave to the buddy.", "patched"),
    Metric("cma_defer_counts_total", "counter", _A,
           "Calls of the shrinker's count.", "patched"),
    Metric("cma_defer_scans_total", "counter", _A, "Scans by the shrinker.", "patched"),
    Metric("cma_defer_scans_stopped_total", "counter", _A,
           "Scans that returned SHRINK_STOP.", "patched"),
    Metric("cma_defer_scan_asked_pages_total", "counter", _A,
           "Pages that scans were asked to free.", "patched"),
    Metric("cma_defer_scan_reclaimed_pages_total", "counter", _A,
           "Pages that scans said they freed.", "patched"),
    Metric("cma_defer_scan_freed_pages_total", "counter", _A,
           "Pages that scans were seen to give to the buddy.", "patched"),
    Metric("cma_defer_scan_duration_seconds", "histogram", _A,
           "Time in cma_defer_free_scan.", "patched"),
    Metric("cma_defer_batch_writes_total", "counter", _A,
           "Changes of batch at run time.", "patched"),
    Metric("cma_defer_batch_freed_pages_total", "counter", _A,
           "Pages given to the buddy because batch was set to 0.", "patched"),
    Metric("cma_deferred_pages", "gauge", _A, "Pages on the deferred list (defer_count).",
           "patched"),
    Metric("cma_deferred_extents", "gauge", _A, "Extents on the deferred list.", "patched"),
    Metric("cma_defer_batch_pages", "gauge", _A,
           "The area's batch: 0 is off, else the smallest scan that frees.", "patched"),
    Metric("cma_defer_policy_info", "gauge", ("area", "policy"),
           "1 for the area's policy: first-fit, the rules' own, or deferred-first.", "policies"),
    Metric("cma_held_pages", "gauge", ("area", "allocation"),
           "Pages held, by what is known of their allocation: seen, uncertain (seen, but records "
           "were lost since), before (the observer came), missed (not seen).", "callers"),
    Metric("cma_held_longer_pages", "gauge", ("area", "seconds"),
           "Pages held for longer than so many seconds, as far as the observer knows.", "callers"),
    Metric("cma_caller_held_pages", "gauge", _C,
           "Pages held now by who asked for them: the 20 that hold most, and other.", "callers"),
    Metric("cma_caller_held_oldest_seconds", "gauge", _C,
           "How long the caller has held its oldest pages.", "callers"),
    Metric("cma_caller_allocs_total", "counter", _C,
           "Allocations granted, by who asked, counted from records: the first 64 callers, and "
           "other.", "callers"),
    Metric("cma_caller_alloc_pages_total", "counter", _C, "Pages granted, by who asked.",
           "callers"),
    Metric("cma_caller_alloc_failures_total", "counter", _C,
           "Allocations that returned NULL, by who asked.", "callers"),
    Metric("cma_dmabufs", "gauge", _A,
           "dma-bufs with pages of the area; area none: of other memory, or not known.", "buffers"),
    Metric("cma_dmabuf_bytes", "gauge", _A, "Their sizes together.", "buffers"),
    Metric("cma_dmabuf_held_bytes", "gauge", ("area", "process"),
           "Sizes of the dma-bufs that processes of this name hold now by descriptor or mapping, "
           "the 20 that hold most and other; a shared buffer counts for each. (kernel): no process "
           "holds it.", "buffers"),
    Metric("cma_kernel_info", "gauge", ("release", "machine", "patched"),
           "The kernel observed; the value is 1."),
    Metric("cmaobs_info", "gauge", ("version", "attach", "clocksource"),
           "This observer, and how it observes; the value is 1."),
    Metric("cmaobs_up", "gauge", (), "1 while the kernel is being observed, 0 once that failed."),
    Metric("cmaobs_model_verdict", "gauge", ("verdict",),
           "1 at the cross-check's verdict so far: agree, diverge or unknown; 0 at the others."),
    Metric("cmaobs_model_unknown_reasons", "gauge", (),
           "Reasons why not everything is known; / names them."),
    Metric("cmaobs_model_divergences_total", "counter", ("rule",),
           "Divergences from the model, by the rule that was broken."),
    Metric("cmaobs_model_operations_total", "counter", _A, "Operations the cross-check saw."),
    Metric("cmaobs_model_decided_total", "counter", _A,
           "Operations it compared with the model and settled."),
    Metric("cmaobs_model_undecided_total", "counter", ("area", "reason"),
           "Operations it could not settle, by reason."),
    Metric("cmaobs_model_rests_total", "counter", _A,
           "Snapshots it compared page by page while the area was at rest."),
    Metric("cmaobs_model_torn_total", "counter", _A,
           "Snapshots it compared while operations were in flight, where they changed nothing."),
    Metric("cmaobs_model_uncompared_seconds_max", "gauge", _A,
           "Longest time between two comparisons in which there were operations."),
    Metric("cmaobs_model_last_rest_timestamp_seconds", "gauge", _A,
           "When it last did so; absent before the first time."),
    Metric("cmaobs_counts_compared_total", "counter", (),
           "Readings of an area whose counts in the kernel were compared with the records."),
    Metric("cmaobs_counts_mismatched_total", "counter", (),
           "Those that differed although nothing was lost: a fault of the observer itself."),
    Metric("cmaobs_records_total", "counter", (), "Records received from the probes."),
    Metric("cmaobs_records_impossible_total", "counter", (),
           "Records that cannot be what they say: a fault of the observer, or of a recording."),
    Metric("cmaobs_losses_total", "counter", ("kind",),
           "What the observer lost, by kind; each makes the verdict unknown for a while. "
           "docs/wire.md says what each kind is."),
    Metric("cmaobs_feature_withheld", "gauge", ("feature",),
           "1 while operations come faster than `--max-rate` and the feature is withheld: phases, "
           "stacks, or records, without which the verdict is unknown.", "max-rate"),
    Metric("cmaobs_withheld_total", "counter", ("feature",),
           "What was not told for that: allocations whose phases were not followed, stacks not "
           "taken, records not sent (a loss as well).", "max-rate"),
    Metric("cmaobs_stacks_failed_total", "counter", (),
           "Operations whose kernel stack could not be kept.", "live"),
    Metric("cmaobs_dmabuf_unreadable_processes", "gauge", (),
           "Processes whose descriptors or mappings could not be read.", "buffers"),
    Metric("cmaobs_readings_total", "counter", (), "Readings of maps and areas made."),
    Metric("cmaobs_last_reading_timestamp_seconds", "gauge", (), "When the latest was made."),
    Metric("cmaobs_snapshots_faulted_total", "counter", _A,
           "Snapshots of the area that could not be used."),
    Metric("cmaobs_probes_attached", "gauge", (), "Kernel functions probed.", "live"),
    Metric("cmaobs_compile_duration_seconds", "gauge", (),
           "Time it took to compile the probes; 0 where they were kept from an earlier start.",
           "live"),
    Metric("cmaobs_warnings", "gauge", (),
           "Kinds of things that could not be done, such as keeping a recording or evidence on a "
           "full disk; the page says which."),
    Metric("cmaobs_web_config_last_reload_successful", "gauge", (),
           "1 if the web configuration is in force as its files are; 0 if they are wrong and the "
           "one before is kept.", "web"),
    Metric("cmaobs_web_config_last_reload_success_timestamp_seconds", "gauge", (),
           "When the web configuration in force was read.", "web"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
_PARTS = {"_bucket": ("le",), "_sum": (), "_count": ()}


def labels_of(sample: str) -> tuple[str, ...]:
    """Labels of a sample's name, which may be a part of a histogram; raises KeyError."""
    for ending, more in _PARTS.items():
        metric = BY_NAME.get(sample.removesuffix(ending))
        if sample.endswith(ending) and metric is not None and metric.type == "histogram":
            return (*metric.labels, *more)
    if BY_NAME[sample].type == "histogram":
        raise KeyError(sample)
    return BY_NAME[sample].labels


_WHEN = {
    "always": "",
    "patched": " Absent where the kernel does not defer.",
    "live": " Absent where the source does not say.",
    "sysfs": " Absent without CONFIG_CMA_SYSFS.",
    "buffers": " Absent without `--buffers`. See who.md.",
    "lent": " Absent without `--lent`.",
    "max-rate": " Absent without `--max-rate`.",
    "web": " Absent without `--web-config`.",
    "phases": " Absent without `--phases`. See why.md.",
    "policies": " Absent where areas have no policy to be set.",
    "counted": " Absent from recordings of wire version 2 and before.",
    "callers": " Absent with `--callers no`. See who.md.",
}


def document() -> str:
    """docs/metrics.md."""
    lines = [
        "<!-- Made by `python -m cmaobs.metrics > docs/metrics.md`; change cmaobs/metrics/table.py."
        " -->", "# Metrics", "",
        "`cma_*` is the kernel's behaviour, counted in the kernel since the probes were armed and "
        "therefore exact even where records are lost; `cmaobs_*` is the observer's own. A value "
        "that cannot be read is absent, not zero.", "",
        "- Share of allocations served from the deferred list: "
        "`sum(rate(cma_alloc_total{path=\"defer_hit\"}[5m])) / "
        "sum(rate(cma_alloc_total{path!=\"failed\"}[5m]))`. A miss is R6's: "
        "an allocation that finds the list empty is neither hit nor miss.",
        "- Histogram limits are powers of two in nanoseconds, 2^8 to 2^36. A duration of exactly a "
        "limit counts in the next bucket. `cmaobs check` knows four times as many limits and gives "
        "quantiles within 1/9.",
        "- OpenMetrics is served to who asks for it (`Accept: application/openmetrics-text`).", "",
        "| name | type | labels | meaning |", "|---|---|---|---|"]
    lines += [f"| `{m.name}` | {m.type} | {', '.join(m.labels)} | {m.help}{_WHEN[m.when]} |"
              for m in METRICS]
    return "\n".join(lines) + "\n"
