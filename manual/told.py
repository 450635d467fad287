# SPDX-License-Identifier: GPL-2.0
"""What manual pages say that no parser knows: fields of the output, cost, caveats, exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from cmaobs.export import tables
from cmaobs.metrics import table
from cmaobs.study import numbers

Rows = Sequence[tuple[str, str]]

SUMMARY = "observe the kernel's contiguous memory allocator and check deferred freeing"

DESCRIPTION = """
cmaobs watches CMA, the Linux kernel's contiguous memory allocator, on a live kernel: how often an
allocation succeeds, how long it takes and by which path, what is left and how fragmented, who
holds it, and what the memory was given back for.

On a kernel with deferred freeing, which keeps released pages aside for the next allocation, every
operation and the kernel's own state are compared with a model of the mechanism. The verdict is
`agree`; or `diverge`, naming the rule, the pages, both values and the operations; or `unknown`,
with the reason, such as lost records. Other kernels are observed as well.

Start with `cmaobs doctor`, which says what this kernel supports, and `cmaobs check`, which
observes for ten seconds. `cmaobs demo` shows the report without privileges and without such a
kernel.

Reports go to standard output; what is being done, warnings and errors to standard error. Where
that is a terminal, a long recording that is read shows there how far it is.
"""

CONFIGURATION = """
`--config FILE` names a YAML file with one `key: value` a line. A flag wins over the file, the file
over the default. A mistake is told with file, line and key. The keys are those of all commands:
"""

EXAMPLES = ["cmaobs demo", "sudo cmaobs doctor", "sudo cmaobs check", "sudo cmaobs top",
            "sudo cmaobs serve --config /etc/cmaobs.yaml"]

_PROBES = """
Attaching compiles the probes: 15 to 30 s on an emulated machine. A hit and its release, 4,400
instructions together, take 3,500 more with fentry and 4,500 more with kprobes; the path through
the page allocator takes 1 to 2 % more. The process holds about 25 MB.
"""
_JUDGING = """
The cross-check takes about 30 us of processor time an operation, following who holds which pages
about 3 us. Where the kernel is faster for long, records wait in memory (64 MiB) and are then lost
and counted; counts stay exact.
"""
_FILE = ("Nothing on the kernel. About 30 us of processor time an operation; memory does not grow "
         "with the file.")

OVERHEAD: Mapping[str, str] = {
    "cmaobs": _PROBES + "\n" + _JUDGING,
    "serve": _PROBES + "\n" + _JUDGING,
    "check": _PROBES + "\n" + _JUDGING,
    "record": _PROBES + "\nA recording takes 17 to 27 bytes an operation, and 0.6 KB a reading and"
                        " area; writing it takes about 2 us of processor time an operation.",
    "replay": _FILE, "explain": _FILE, "demo": _FILE,
    "export": "Nothing on the kernel. About 30 us of processor time a record for either format, "
              "the verdict included; memory does not grow with the file. A trace takes about 170 "
              "bytes a record.",
    "report": _FILE + " All numbers are held in memory: about 1 KB each.",
    "snapshot": "No probes. Small BPF programs are compiled and run once for each area; looking "
                "up who holds dma-bufs takes about 0.1 ms for each process of the machine.",
    "doctor": "Reads files under /proc and /sys.",
    "top": "Without SOURCE that of `check`. Of a remote exporter one scrape each interval.",
    "load": "It is load: see OPTIONS for what bounds it.",
    "fleet": "Nothing on the kernel. `--add` takes as long as `whatif`; the report reads all the "
             "Parquet files, 6 KB for each recording.",
    "whatif": "Nothing on the kernel. Reading takes about 12 us of processor time an operation; a "
              "replay about 0.3 us by a policy that has a name, and 40 us by a class of yours or "
              "where pages share bits, 13 times where threads or reclaim leave something to "
              "chance. All processors are used.",
}

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
               "pages, isolated, drained, reclaimed, migrated and tested; rest is what no phase "
               "explains. Pages isolated, migrated, failed and reclaimed; and the slowest "
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
        ("latest failures", "Time, area, pages asked for, errno, cause, thread/pid and how long it "
                            "took; the causes are those of `check`."))),
    "report": _numbers,
    "fleet": lambda: iter((
        ("gains, open, loses", "Recordings (of a kernel: their share) whose p99 of cma_alloc, or "
                               "else p50, would be less than without deferral, neither, or more, "
                               "beyond both 95 % intervals."),
        ("hits", "Of the allocations that were granted."),
        ("withheld", "Pages on the deferred list, on average."),
        ("caller, in cma_alloc, share", "The name of the thread that asked, the time that it spent "
                                        "there as recorded, and its share of all."),
        ("devices, allocations, pages, failed", "As recorded."))),
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

_KPROBES = ("Kprobes miss returns silently",
            "when more threads wait inside cma_alloc than the kernel has instances for (10, or "
            "twice the CPUs). It is seen by the thread's stack, counted, and the verdict is "
            "unknown for the gap; with fentry it does not happen.")
_ATTACH = ("Operations in flight when cmaobs attaches",
           "are never seen. They are waited for, up to 2 s; a longer one makes the verdict "
           "unknown until it is over.")
_CLOCK = ("A coarse clock", "makes all latencies multiples of a tick; `cmaobs doctor` says so.")
_KERNELS = ("Kernels", "6.1 and 6.12 were tried, on x86-64; others from 5.10 to 7.1 are in "
            "docs/kernels.md: run `cmaobs doctor` first.")
_RANGES = ("Areas of several ranges", "(from 6.15 on, as hugetlb_cma= makes them) are observed and "
           "counted as all others; their verdict is unknown.")

CAVEATS: Mapping[str, Rows] = {
    "cmaobs": (_KERNELS, _RANGES, _KPROBES, _ATTACH, _CLOCK,
               ("Area names", "label the metrics: two areas of the same name would collide.")),
    "serve": (("No password and no encryption", "without `--web-config`: listen on 127.0.0.1, or "
                                                "give one."), _KPROBES, _ATTACH, _CLOCK),
    "check": (_KPROBES, _ATTACH, _CLOCK, ("A verdict of agree", "is about what was seen: look "
                                                                "at operations and compared.")),
    "record": (_KPROBES, _ATTACH, ("A recording", "holds names and pids of processes.")),
    "replay": (("Counts", "are those of the recording; what was lost then is lost."),),
    "demo": (("The figures", "are of an emulated machine: its latencies are not those of "
                             "hardware."),),
    "explain": (("Operations listed", "are up to 8 of the latest 64 of the area that touched "
                                      "the pages; the cause may be earlier."),),
    "export": (("What was lost", "is not in the output: look at the losses before concluding "
                                 "that nothing happened."),
               ("Times", "are CLOCK_MONOTONIC; the time of day is known at readings.")),
    "report": (("Operations of one run", "depend on each other: only repeated runs, by a manifest, "
                                          "have an interval that says how far another would "
                                          "differ."),
               ("What was lost", "is missing in what is by size and in where the time went; "
                                 "counts and latencies by path were made in the kernel and have "
                                 "it. The page says how many."),
               ("An emulated machine", "has other latencies than hardware; the page says so where"
                                       " it can be known.")),
    "snapshot": (("It is not one instant", "for all areas and processes: they are read one after"
                                           " another."),
                 ("Who holds", "is known where page_owner or the kernel's list of dma-bufs "
                               "tells; only `check` and `serve` see who asks.")),
    "fleet": (("A recording", "counts for the day on which it begins, and is as long as it is: a "
               "device that was recorded longer weighs more in hits."),
              ("The same caveats", "as of `cmaobs whatif` hold for each recording.")),
    "whatif": (("The time of each allocation", "is kept as it was recorded: an application that is "
                "served faster may ask for more, or earlier."),
               ("A kernel without the patch", "does not show when reclaim would have come, so "
                "pages withheld and hits are upper bounds."),
               ("Durations of paths that were not recorded", "are those of an emulated machine, "
                "which is far slower than hardware; the report says how many."),
               ("--policy FILE.py:CLASS", "runs that file.")),
    "doctor": (("Without privileges", "less can be seen, and that is then told as unknown or "
                                      "missing."),),
}

STATUS_VERDICT: Rows = (
    ("0", "Done; where there is a verdict: agree."), ("1", "The verdict is diverge."),
    ("2", "Usage or environment: a line `error: ...`, and a line with the remedy."),
    ("3", "The verdict is unknown."))
_STATUS_DONE: Rows = (STATUS_VERDICT[2],)
STATUS: Mapping[str, Rows] = {
    **dict.fromkeys(("serve", "check", "replay", "demo", "explain"), STATUS_VERDICT),
    **dict.fromkeys(("record", "export", "report", "doctor", "whatif", "fleet"),
                    (("0", "Done."), *_STATUS_DONE)),
    "top": (("0", "You quit. With `--once` or `--json` the verdict, as "
                  "below: agree."), *STATUS_VERDICT[1:]),
    "snapshot": (("0", "Done."), *_STATUS_DONE, ("3", "An area could not be read.")),
    "load": (("0", "Done."), ("1", "Not all operations were done, or something "
                                   "was not released."), *_STATUS_DONE),
}

SEE_ALSO: Mapping[str, Sequence[str]] = {
    "serve": ("check", "top"), "check": ("explain", "record", "serve"),
    "record": ("replay", "export", "top"), "replay": ("record", "explain", "export"),
    "snapshot": ("check", "doctor"), "doctor": ("check",), "demo": ("replay", "check"),
    "explain": ("check", "replay"), "export": ("record", "replay"),
    "report": ("record", "replay", "load"), "top": ("serve", "record"),
    "load": ("check",), "whatif": ("record", "replay", "export", "fleet"),
    "fleet": ("whatif", "export"),
}
