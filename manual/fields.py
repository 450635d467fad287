# SPDX-License-Identifier: GPL-2.0
"""What each command's output has, for FIELDS of its manual page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cmaobs.export import tables
from cmaobs.metrics import table
from cmaobs.study import numbers
from manual.told import Rows

_LOST = ("lost", "`nothing`, or what the observer lost, by kind. Each loss makes the verdict "
                 "unknown for a while; counts stay exact. ring_full: raise `--ring-pages`. "
                 "in_flight_at_attach: operations that began before the probes; it passes. The "
                 "others: see docs/wire.md.")
_REPORT: Rows = (
    ("kernel", "Release, machine, whether it defers, how it was probed, and the clock source."),
    ("area", "Name and size in pages. The lines below are of this area."),
    ("operations", "Allocations, releases, scans and writes of batch that were seen; how many of"
                   " them were compared with the rules and settled; and why the others were not."),
    ("compared", "How often bitmap and deferred list were compared page by page while nothing "
                 "was in flight, how often in motion, and the longest time without either."),
    ("allocations", "hit: from the deferred list; contig: from the page allocator, the slow "
                    "path; failed: NULL, by errno. The share is that of hits in what was "
                    "granted."),
    ("releases", "deferred: kept aside; direct: given to the page allocator at once; rejected: "
                 "pages not of this area."),
    ("failures", "By cause: no_room, fragmented, alignment, oversize, busy, interrupted, "
                 "no_memory, zero, other, unknown; then the latest, with the numbers and who "
                 "asked, and the page that stayed busy as it was read soon after. docs/why.md "
                 "says what each is, and how sure."),
    ("retries", "Allocations that tried more than one place, because the first was busy."),
    ("misses", "Allocations that found pages deferred but no extent that fits, and therefore "
               "gave all of them back."),
    ("scans", "Calls of the shrinker; stopped: asked for less than batch, so nothing was freed; "
              "pages asked for and given back."),
    ("pages", "Allocated, deferred and free at the end; the largest clear run is the largest "
              "request that has room. batch 0 is off."),
    ("held", "Pages by who asked for them: runs, age of the oldest, allocations, failures, "
             "name[pid], and driver if stacks were taken. Pages from before the observer came "
             "are named as such."),
    ("latency", "Count, mean, p50 and p99. A quantile is a range: the true value lies in it."),
    ("phases", "With `--phases`: how long allocations waited for the mutex, flushed deferred "
               "pages, isolated, drained, reclaimed, migrated and tested; unexplained is what is "
               "none of these. Pages isolated, migrated, failed and reclaimed; and the slowest "
               "allocation. docs/why.md says what each is."),
    ("dma-bufs", "With `--buffers`: each buffer's inode, size, exporter, name and pages, and the"
                 " processes that hold it by descriptor (fd) or mapping (map)."),
    ("records", "Records and readings that arrived."),
    _LOST,
    ("counts made in the kernel against records", "Two ways of counting that must agree where "
     "nothing was lost. A mismatch is a fault of cmaobs."),
    ("divergence", "Rule, area and pages; what the rule expects and what was observed; the "
                   "operations that led there, in us. The rules are in docs/rules.md."),
    ("verdict", "agree, diverge or unknown; for unknown each reason on a line, and what helps."),
)


def _metrics() -> Iterator[tuple[str, str]]:
    """Every metric, as docs/metrics.md has it."""
    for one in table.METRICS:
        labels = f"{{{','.join(one.labels)}}}" if one.labels else ""
        yield f"{one.name}{labels}", f"({one.type}) {one.help}"


def _columns() -> Iterator[tuple[str, str]]:
    """Tables of --format parquet with their columns."""
    yield "perfetto", ("Slices by thread, counters under `CMA area NAME`, divergences marked "
                       "there, and the verdict under `cmaobs` and in the trace's metadata.")
    for name, columns in tables.COLUMNS.items():
        yield f"{name}.parquet", ", ".join(
            one.name + (f" ({one.unit})" if one.unit else "") for one in columns) + "."


def _numbers() -> Iterator[tuple[str, str]]:
    """Columns of report.csv."""
    yield "report.html", ("Plots of the numbers, light and dark; asks nothing of the network. Of "
                          "each plot the title of a mark is its number.")
    yield "report.csv", "A number a line. Its columns, empty where they do not apply:"
    yield from numbers.MEANINGS.items()


FIELDS: Mapping[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "serve": _metrics, "check": lambda: iter(_REPORT), "replay": lambda: iter(_REPORT),
    "demo": lambda: iter(_REPORT), "export": _columns,
    "record": lambda: iter((
        ("records, readings", "What the file holds, and its size in bytes."), _LOST)),
    "snapshot": lambda: iter((
        *(row for row in _REPORT if row[0] in ("kernel", "area", "pages", "held", "dma-bufs")),
        ("allocated, deferred", "Runs of pages: first pfn and number; extents of the deferred "
                                "list, newest first. The first 16 of each; `--json` has all."),
        ("not at rest", "An operation was in flight: the parts need not belong to one instant."),
        ("not readable", "Why the area could not be read."))),
    "doctor": lambda: iter((
        ("ok", "The feature is there."), ("limited", "cmaobs works, but sees less; the next line"
                                                     " is the remedy."),
        ("missing", "It is not there. What cannot be done without is repeated as an error at the"
                    " end."),
        ("unknown", "It could not be found out."),
        ("cmaobs can, cannot", "What all of it comes to; what is needed is named."))),
    "explain": lambda: iter((
        ("The rule", "The rule that was broken, in a sentence; all of them are in docs/rules.md."),
        ("Expected, Observed", "What the rule demands, and what the records or the kernel's "
                               "memory say."),
        ("Operations concerned", "Those that touched the pages, oldest first: times in us, "
                                 "thread, pages, what came of it, defer_count at entry and "
                                 "return, and the kernel stack, innermost function first."),
        ("Before, After", "The pages as a drawing, a character for one or more pages, with a key"
                          " below it."),
        ("Time line", "Which operations overlapped; columns are in order of time, not to scale."),
        ("verdict", "As of `cmaobs replay`."))),
    "top": lambda: iter((
        ("USE", "# held by callers, = deferred, . free; the figure is what callers hold."),
        ("DEFER", "Pages kept aside for the next allocation; - where the kernel does not."),
        ("FRAG", "0%: all clear pages are one run; near 100%: large requests fail."),
        ("HIT", "Of what was granted, the share that came from the deferred list."),
        ("ALLOC/s, FREE/s, FAILED", "In the interval since the screen before, or since the start"
                                    " (key t)."),
        ("P50, P99", "The true value lies between the two figures."),
        ("latest failures", "Time, area, pages asked for, errno, cause, thread[pid] and how long "
                            "it took; the causes are those of `check`. An exporter has only how "
                            "many of each cause."),
        ("retried", "Of an area in full (Enter): allocations that tried more than one place, and "
                    "how many places beyond the first."),
        ("map, failures, holders, phases", "Below an area in full; key v goes to the next. "
                                           "Failures have their numbers and the page that "
                                           "stayed; phases need `--phases` where it was observed. "
                                           "With `--once` all of them are printed."))),
    "report": _numbers,
    "fleet": lambda: iter((
        ("gains, open, loses", "Recordings (of a kernel: their share) whose p99 of cma_alloc, or "
                               "else p50, would be less than without deferral, neither, or more, "
                               "beyond both 95 % intervals."),
        ("hits", "Of the allocations that were granted."),
        ("withheld", "Pages on the deferred list, on average."),
        ("caller, in cma_alloc, share", "The name of the thread that asked, the time that it spent "
                                        "there as recorded, and its share of all."),
        ("devices, allocations, pages, failed", "As recorded."),
        ("left out or mended, times", "What of the recordings was not used, or was made up for, as "
                                      "in whatif; how often in all of them."))),
    "whatif": lambda: iter((
        ("left out or mended", "What of the recordings was not used, or was made up for: lost "
                               "records, gaps, damage, jumps of clocks."),
        ("as recorded", "What the kernel did when it was recorded."),
        ("policy, batch", "The rules that the demand was replayed under, and their batch."),
        ("hit ratio", "Of the allocations that were granted; in parentheses the least and the most "
                      "of replays with other timing, where threads or reclaim leave it open."),
        ("p50, p99, worst", "Latency of cma_alloc where pages were granted, with the 95 % interval "
                            "for one more run of the same demand."),
        ("failed", "Allocations that got nothing."),
        ("withheld", "Pages on the deferred list, which nobody else can use: on average, and at "
                     "most."),
        ("flushed, scanned", "Pages given back by allocations that missed, and by reclaim."),
        ("fragmentation", "The share of the clear pages that is not in the longest run; mean over "
                          "time."),
        ("assumed", "What was taken to be so, and how much of the answer rests on it."))),
    "load": lambda: iter((
        ("allocations", "Granted of attempted, pages, and failures by errno."),
        ("releases", "Releases and pages; those before their time made room, or ended the run."),
        ("not released", "Pages that debugfs still holds."),
        ("paused", "Time in which `--reserve` held it back."))),
}
