# SPDX-License-Identifier: GPL-2.0
"""The defects of the kernel that deploy/kernel/build --series defects makes, and what shows them.

One to one with mm/cma_defect.c of that series.
"""

from __future__ import annotations

from typing import NamedTuple

from kernel import beside
from kernel import workloads as work
from kernel.workloads import BATCH, Work


class Defect(NamedTuple):
    """rules: those that the defect breaks; naming the first of a divergence is right for any.

    late: other rules by which it may be told under load, when it shows first in a later operation.
    alone: shows it with one thread; None: it takes several. together: arguments of the load that
    shows it with several threads. beside: done again and again while that load runs. seed: Dn of
    the rules' list of defects of the RFC as posted.
    """

    name: str
    where: str
    what: str
    rules: tuple[str, ...]
    alone: Work | None
    together: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    beside: Work | None = None
    seed: str = ""


_HEAP = ("--source", "heap", "--sizes", "1,3,16,64")
_CODEC = ("--area", "codec", "--sizes", "1-7")
_LEAKED = ("R6", "R9")  # a flush or a scan leaves the pages out
_KEPT = ("R1", "R4")  # a search passes by, or a bit is still set once the pages are free
_PACED = ("--rate", "25")  # a second and thread: what is before a scan is often known

DEFECTS = (
    Defect("pick-not-lowest", "alloc", "the second run that fits is picked", ("R4",), work.fit),
    Defect("pick-misaligned", "alloc", "the alignment is ignored", ("R4",), work.aligned, _HEAP),
    Defect("busy-keeps-bits", "alloc", "bits stay set after -EBUSY", ("R7",), work.busy,
           late=("R4", "R1")),
    Defect("busy-gives-up", "alloc", "-EBUSY ends the allocation", ("R7",), work.busy),
    Defect("error-goes-on", "alloc", "an error other than -EBUSY does not end the allocation",
           ("R7",), beside.interrupted, _CODEC, beside=beside.interrupt),
    Defect("error-keeps-bits", "alloc", "bits stay set after an error other than -EBUSY",
           ("R7",), beside.interrupted, _CODEC, beside=beside.interrupt),
    Defect("hit-beyond-end", "fetch", "the run's end is not compared with the extent's",
           ("R5", "R12"), work.miss, seed="D2"),
    Defect("hit-recounted", "fetch", "a remainder is counted again", ("R5", "R10"), work.head,
           seed="D5"),
    Defect("hit-not-counted", "fetch", "the hit's pages stay in defer_count", ("R5", "R10"),
           work.twice),
    Defect("hit-keeps-empty", "fetch", "an exact hit leaves an empty extent", ("R5",), work.twice,
           seed="D7"),
    Defect("hit-stays-listed", "fetch", "an exact hit leaves its extent on the list",
           ("R5", "R11", "R12"), work.twice),
    Defect("hit-clears-bits", "fetch", "a hit clears the bits of its run", ("R4", "R11"),
           work.twice),
    Defect("head-dropped", "fetch", "the remainder before a hit is dropped", ("R5", "R11"),
           work.middle, _CODEC, _LEAKED, seed="D6"),
    Defect("tail-dropped", "fetch", "the remainder after a hit is dropped", ("R5", "R11"),
           work.head,
           late=_LEAKED, seed="D6"),
    Defect("orphans-dropped", "fetch",
           "without memory to list it, a remainder is counted off and not freed",
           ("R5", "R11"), work.middle_without_memory, _CODEC, (*_LEAKED, "R10"), beside.orphan,
           seed="D6"),
    Defect("miss-though-held", "fetch", "the newest extent only is looked at", ("R5",), work.older),
    Defect("flush-clears-picked", "flush", "bits of the extents, so of the picked run, are cleared",
           ("R6", "R11"), work.miss, seed="D10"),
    Defect("flush-keeps-count", "flush", "defer_count is not reset", ("R6", "R10"), work.miss,
           seed="D11"),
    Defect("flush-skipped", "flush", "a miss does not flush", ("R6",), work.miss),
    Defect("flush-too-late", "flush", "a miss flushes after alloc_contig_range()", ("R6",),
           work.miss),
    Defect("flush-forgets-last", "flush", "the last extent stays on the list", ("R6",), work.miss),
    Defect("flush-stays-listed", "flush", "extents are freed and stay on the list",
           ("R6", "R10", "R11", "R12"), work.miss),
    Defect("flush-leaks", "flush", "extents leave the list and are not freed", ("R6", "R11"),
           work.miss,
           ("--rate", "20")),  # each try at a leaked page is a record
    Defect("release-no-event", "release", "no trace event where the release is deferred", ("R2",),
           work.release, seed="D13"),
    Defect("release-leaks", "release", "no memory for the extent: bits cleared, pages kept",
           ("R2", "R3", "R11"),
           work.release_without_memory, late=_LEAKED, beside=beside.leak, seed="D14"),
    Defect("release-false", "release", "false is returned for pages of the area",
           ("R1", "R2"), work.release),
    Defect("release-batch-ignored", "release", "pages are deferred while batch is 0", ("R1",),
           work.direct, ("--batch", "0,8", "--batch-rate", "4")),
    Defect("release-no-recheck", "release",
           "batch is not looked at again under the lock (the window is made 1 ms wide)", ("R1",),
           beside.race, _PACED, beside=beside.race_beside),
    Defect("release-not-counted", "release", "defer_count does not grow", ("R2", "R10"),
           work.release),
    Defect("release-counted-twice", "release", "defer_count grows by twice the pages",
           ("R2", "R10"), work.release),
    Defect("release-keeps-bits", "release", "the bits stay set", ("R2",), work.release,
           late=_KEPT),
    Defect("release-short-bits", "release", "one bit stays set", ("R2",), work.release,
           late=(*_KEPT, "R7")),
    Defect("release-short-extent", "release", "the extent is a page shorter than the release",
           ("R2", "R10", "R11"), work.release, late=("R5", *_LEAKED)),
    Defect("release-at-tail", "release", "the extent goes to the tail of the list", ("R2", "R9"),
           work.releases),
    Defect("release-merges", "release", "adjacent extents become one", ("R2", "R5"), work.releases),
    Defect("release-listed-twice", "release", "the extent is listed twice",
           ("R2", "R10", "R11", "R12"), work.release),
    Defect("release-also-frees", "release", "deferred pages are freed, too", ("R2", "R11", "R12"),
           work.release, late=("R10",)),
    Defect("direct-keeps-bits", "release", "a direct release leaves the bits set", ("R1",),
           work.direct,
           ("--batch", "0,8", "--batch-rate", "4"), _KEPT),
    Defect("count-returns-0", "count", "0 instead of SHRINK_EMPTY", ("R8",), work.counts),
    Defect("count-returns-extents", "count", "extents are counted, not pages", ("R8",),
           work.counts),
    Defect("count-stale", "count", "the value that was right at the call before", ("R8",),
           work.counts),
    Defect("scan-frees-all", "scan", "everything is freed", ("R9",), work.scan(20), seed="D17"),
    Defect("scan-frees-none", "scan", "nothing is freed", ("R9",), work.scan(20), seed="D17"),
    Defect("scan-double-free", "scan", "the split extent is freed whole, its rest stays listed",
           ("R9", "R12"), work.scan(20), seed="D19"),
    Defect("scan-subtracts-all", "scan",
           "defer_count is subtracted where the extent's count was meant", ("R9", "R10"),
           work.scan(40), seed="D20"),
    Defect("scan-returns-0", "scan", "0 is returned", ("R9",), work.scan(20), seed="D21"),
    Defect("scan-returns-asked", "scan", "what was asked for is returned", ("R9",), work.scan(100)),
    Defect("scan-too-much", "scan", "the last extent is not split, but freed", ("R9",),
           work.scan(20)),
    Defect("scan-too-little", "scan", "the last extent is not split, but kept", ("R9",),
           work.scan(20)),
    Defect("scan-ignores-batch", "scan", "a scan below batch frees", ("R9",), work.scan(7),
           (*_PACED, "--scan", f"1-{BATCH - 1}")),
    Defect("scan-stops-late", "scan", "SHRINK_STOP also where nr equals batch", ("R9",),
           work.scan(BATCH), (*_PACED, "--scan", f"{BATCH}")),
    Defect("scan-oldest-first", "scan", "extents are taken from the tail", ("R9",), work.scan(16),
           _PACED),
    Defect("scan-not-counted", "scan", "defer_count does not shrink", ("R9", "R10"), work.scan(20)),
    Defect("scan-part-leaked", "scan", "the part of the split extent is not freed",
           ("R9", "R11"), work.scan(20), _PACED, late=("R10",)),
    Defect("scan-clears-bits", "scan",
           "bits of the extents are cleared, though picked (the window is made 1 ms wide)",
           ("R4", "R11", "R12"), None, ("--scan", "8-64", "--scan-rate", "200"), ("R6",)),
    Defect("batch-0-keeps", "batch", "batch = 0 does not give back", ("R6",), work.batch_0,
           ("--batch", "0,8", "--batch-rate", "40")),
    Defect("batch-not-passed", "batch", "the shrinker's batch is not set", ("R9",), work.reclaim,
           ("--batch", "8,64", "--batch-rate", "40")),
)
