# SPDX-License-Identifier: GPL-2.0
"""Which kernel functions the handlers of probes/ may be attached to, over all versions. Pure data.

The functions of one row take what its handler reads at the same places, so that a row says all
that a version changes. Read in the sources of 5.10.89, 5.15.100, 6.1.192, 6.6.9, 6.12.117, 6.14,
6.15, 6.17 to 6.19, 7.0 and 7.1.5; seen in the BTF of the kernels of tests/fixtures/facts/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Handler(NamedTuple):
    """A pair of handlers, for entry and return.

    macro: names the function for the compiler; with _FN replaced by _NARGS, how many arguments it
    has. symbols: the function, by its name on one kernel or another; the first that exists is
    taken. reads: its first arguments, which the handler reads, by the kernel's names for them.
    """

    macro: str
    symbols: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def nargs(self) -> str:
        """The macro that says how many arguments the function has."""
        return self.macro.replace("_FN", "_NARGS")


class Tracepoint(NamedTuple):
    """What a program of probes/ is attached to, beside functions; macro compiles it in.

    template: the event's class, where that has another name.
    """

    event: str
    macro: str
    template: str = ""

    @property
    def symbol(self) -> str:
        """A function that a kernel with the event has: include/trace/bpf_probe.h."""
        return f"__bpf_trace_{self.template or self.event}"


# In all kernels named above.
TRACEPOINTS: Mapping[str, Tracepoint] = {
    # start_pfn, end_pfn, fin_pfn.
    "busy_page": Tracepoint("test_pages_isolated", "WITH_BUSY_PAGE"),
    # Nothing is read of it: only that it fired.
    "release_event": Tracepoint("cma_release", "WITH_RELEASE_EVENT"),
}

HANDLERS: Mapping[str, Handler] = {
    "cma_alloc": Handler("ALLOC_FN", ("cma_alloc",), ("cma", "count", "align")),
    # 7.0 on, where cma_alloc may be made of it: an allocation inside its own other half is not
    # another one (probes/cmaobs.bpf.c).
    "alloc_frozen": Handler("ALLOC_FROZEN_FN", ("cma_alloc_frozen",), ("cma", "count", "align")),
    # 6.12 to 6.19; 7.0 on. Beside cma_alloc, not in place of it. cma_free_folio calls cma_release.
    "alloc_order": Handler("ALLOC_ORDER_FN", ("cma_alloc_folio", "cma_alloc_frozen_compound"),
                           ("cma", "order")),
    "cma_release": Handler("RELEASE_FN", ("cma_release",), ("cma", "pages", "count")),
    # 7.0 on.
    "release_frozen": Handler("RELEASE_FROZEN_FN", ("cma_release_frozen",),
                              ("cma", "pages", "count")),
    # Where the frozen ones exist, mm/cma.c calls them and no other (7.0).
    "contig": Handler("CONTIG_FN", ("alloc_contig_frozen_range_noprof",
                                    "alloc_contig_range_noprof", "alloc_contig_range"),
                      ("start", "end")),
    "free": Handler("FREE_FN", ("free_contig_frozen_range", "free_contig_range"),
                    ("pfn", "nr_pages")),
    "count": Handler("COUNT_FN", ("cma_defer_free_count",), ("shrinker",)),
    "scan": Handler("SCAN_FN", ("cma_defer_free_scan",), ("shrinker", "sc")),
    "batch": Handler("BATCH_FN", ("cma_defer_set_batch",), ("cma", "batch")),
    "policy": Handler("POLICY_FN", ("cma_defer_set_policy",), ("cma", "policy")),
}

class Phase(NamedTuple):
    """How a phase of an allocation is seen: enum cmaobs_phase of probes/wire.h, in lower case.

    functions: by handler, which begin and end it. events: by program; all of them are needed.
    """

    name: str
    functions: Mapping[str, Handler] = {}
    events: Mapping[str, Tracepoint] = {}


# Nothing is read of arguments; what reclaim_clean_pages_from_list returns is. migrate_pages has 7
# arguments from 6.1 on, and a BPF trampoline takes 6: its events are used.
PHASES = (
    Phase("waiting", events={"wait_begin": Tracepoint("contention_begin", "WITH_CONTENTION"),
                             "wait_end": Tracepoint("contention_end", "WITH_CONTENTION")}),
    Phase("isolating", {
        "isolate": Handler("ISOLATE_FN", ("start_isolate_page_range",), ()),
        "undo": Handler("UNDO_FN", ("undo_isolate_page_range",), ()),
        "isolate_pages": Handler("ISOLATE_PAGES_FN", ("isolate_migratepages_range",), ()),
        "isolate_free": Handler("ISOLATE_FREE_FN", ("isolate_freepages_range",), ())}),
    Phase("draining", {
        "drain_lru": Handler("DRAIN_LRU_FN", ("lru_cache_disable", "migrate_prep"), ()),
        # alloc_contig_range jumps over drain_all_pages, which is compiled into it.
        "drain_pages": Handler("DRAIN_PAGES_FN", ("__drain_all_pages", "drain_all_pages"), ())}),
    Phase("reclaiming", {
        "reclaim": Handler("RECLAIM_FN", ("reclaim_clean_pages_from_list",), ())}),
    Phase("migrating", events={
        "migrate_start": Tracepoint("mm_migrate_pages_start", "WITH_MIGRATE_PAGES"),
        "migrate_end": Tracepoint("mm_migrate_pages", "WITH_MIGRATE_PAGES")}),
    Phase("testing", {"test": Handler("TEST_FN", ("test_pages_isolated",), ())}),
)
# Beside the phases: pages isolated. The function is of the event's class.
ISOLATED = Tracepoint("mm_compaction_isolate_migratepages", "WITH_ISOLATED",
                      "mm_compaction_isolate_template")
MUTEX = "cma_mutex"  # up to 6.14; from 6.15 on struct cma has alloc_mutex

REQUIRED = ("cma_alloc", "cma_release", "contig", "free")
ALLOCATIONS = ("cma_alloc", "alloc_frozen", "alloc_order")
RELEASES = ("cma_release", "release_frozen")
CALLS = ("contig", "free")
DEFERRAL = ("count", "scan", "batch")  # of the patch series only
POLICY = "policy"  # of a series that lets allocations prefer deferred pages
