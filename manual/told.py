# SPDX-License-Identifier: GPL-2.0
"""What manual pages say that no parser knows: cost, caveats, exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    "whatif": "Nothing on the kernel. Reading takes about 3 us of processor time an operation; a "
              "replay about 0.3 us by a policy that has a name, and 40 us by a class of yours or "
              "where pages share bits, 13 times where threads or reclaim leave something to "
              "chance. All processors are used.",
}

_KPROBES = ("Kprobes miss returns silently",
            "when more threads wait inside cma_alloc than the kernel has instances for (10, or "
            "twice the CPUs). It is seen by the thread's stack, counted, and the verdict is "
            "unknown for the gap; with fentry it does not happen.")
_ATTACH = ("Operations in flight when cmaobs attaches",
           "are never seen. They are waited for, up to 2 s; a longer one makes the verdict "
           "unknown until it is over.")
_CLOCK = ("A coarse clock", "makes all latencies multiples of a tick; `cmaobs doctor` says so.")
_KERNELS = ("Kernels", "6.1 was tried, on x86-64, and 6.12 booted; what is known of others from "
            "5.10 to 7.1 is in docs/kernels.md: run `cmaobs doctor` first.")
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
              ("The same caveats", "as of `cmaobs whatif` hold for each recording."),
              ("A recording that cannot be read", "is left out with a warning if others can.")),
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
