# SPDX-License-Identifier: GPL-2.0
"""Hand-built areas, records and readings for tests of pure code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cmaobs import wire
from cmaobs.buffers import Buffer, Buffers, Use
from cmaobs.events import RECORD, Kind, Operation, Path, Record
from cmaobs.latency import slot_of
from cmaobs.phases import NAMES
from cmaobs.source import Batch
from cmaobs.state import (
    AreaCounts,
    AreaFacts,
    AreaState,
    Latency,
    Losses,
    Placed,
    Reading,
    Run,
    Withheld,
)
from cmaobs.verdict import Coverage, Divergence, Outcome, Verdict
from cmaobs.view import Tallied, View
from cmaobs.who import BEFORE, Caller, Holders
from cmaobs.who.book import Piece
from cmaobs.who.ledger import OTHER, Counts
from cmaobs.why import CAUSES, Failure

AREA = AreaFacts(0, "reserved", 0x40000, 16384, 0)
SECOND = AreaFacts(1, "camera", 0x80000, 4096, 2)
IDENTITY = {"release": "6.1.0-test", "machine": "x86_64", "attach": "kprobe",
            "clocksource": "tsc", "patched": "yes"}
COUNTERS = wire.Layout("cmaobs_counters").fields
HISTS = ("alloc_hit", "alloc_contig", "alloc_failed", "contig", "release_deferred",
         "release_direct", "scan")
SLOTS = wire.constant("CMAOBS_SLOTS")


def record(kind: Kind, start: int, end: int, **values: int) -> Record:
    """A record of thread 1001; values are fields, everything else is zero."""
    fields = dict.fromkeys(Record._fields, 0) | {"tid": 1001, "tgid": 1000} | values
    fields |= {"start_ns": start, "end_ns": end, "kind": kind}
    return Record(**{**fields, "comm": b"loadmaker"})  # type: ignore[arg-type]


def alloc(start: int, end: int, pfn: int, count: int, path: Path = Path.HIT,
          **values: int) -> Record:
    """An allocation that was granted, unless path says otherwise."""
    return record(Kind.ALLOC, start, end, pfn=pfn, count=count, path=path, **values)


def contig(start: int, end: int, op: int, pfn: int, count: int, ret: int = 0) -> Record:
    """A contig call inside the allocation that began at op."""
    return record(Kind.CONTIG, start, end, op_ns=op, pfn=pfn, count=count, ret=ret, depth=1)


def release(start: int, end: int, pfn: int, count: int, path: Path = Path.DEFERRED,
            **values: int) -> Record:
    """A release."""
    return record(Kind.RELEASE, start, end, pfn=pfn, count=count, ret=1, path=path, **values)


def batch(*records: Record, watermark: int | None = None) -> Batch:
    """The records as sent; the watermark is the end of the last unless given."""
    data = b"".join(RECORD.pack(*one) for one in records)
    return Batch(data, records[-1].end_ns if watermark is None else watermark)


def latency(*durations_ns: int) -> Latency:
    """A histogram of the durations."""
    slots = [0] * SLOTS
    for duration in durations_ns:
        slots[slot_of(duration)] += 1
    return Latency(sum(durations_ns), tuple(slots))


def counts(facts: AreaFacts = AREA, latencies: Mapping[str, Latency] | None = None,
           **counters: int) -> AreaCounts:
    """Counters by name, all others zero."""
    unknown = set(counters) - set(COUNTERS)
    assert not unknown, unknown
    return AreaCounts(facts, dict.fromkeys(COUNTERS, 0) | counters,
                      dict.fromkeys(HISTS, latency()) | dict(latencies or {}))


def state(facts: AreaFacts = AREA, at_ns: int = 0, allocated: tuple[Run, ...] = (),
          extents: tuple[Run, ...] | None = (), begun: int = 0, fault: str = "") -> AreaState:
    """An area at rest, read in one microsecond."""
    deferred = None if extents is None else sum(count for _, count in extents)
    return AreaState(facts, at_ns, at_ns + 1000, allocated, extents, deferred,
                     None if extents is None else 128, 0, 0, begun, True, fault)


def reading(at_ns: int, *pairs: tuple[AreaCounts, AreaState],
            losses: Mapping[str, int] | None = None) -> Reading:
    """A reading of the areas; wall clock time is at_ns after 2026-01-01."""
    return Reading(at_ns, 1767225600 + at_ns / 1e9, tuple(one for one, _ in pairs),
                   tuple(one for _, one in pairs),
                   Losses({"ring_full": 0, "orphan_returns": 0} | dict(losses or {})))


class ListSource:
    """A source that says what it was given."""

    def __init__(self, *steps: Batch | Reading, areas: tuple[AreaFacts, ...] = (AREA,),
                 identity: Mapping[str, str] | None = None) -> None:
        self.identity = dict(IDENTITY if identity is None else identity)
        self.areas = areas
        self._steps = steps
        self.closed = 0

    def steps(self) -> Iterator[Batch | Reading]:
        """The steps."""
        yield from self._steps

    def close(self) -> None:
        """Count."""
        self.closed += 1


FAILURE = Failure(1767225609.5, "reserved", 99999, "ENOMEM", "loader", 1000, 9e-7, "oversize",
                  "asked for 99999 pages of an area that has 16384")
_NO_CAUSE = dict.fromkeys(CAUSES, 0)


def view() -> View:
    """A patched kernel with two areas, one of them unreadable, and an unknown verdict."""
    latencies = {
        "alloc_hit": latency(*range(1000, 3000, 10)), "alloc_contig": latency(*[2_000_000] * 50),
        "alloc_failed": latency(900), "contig": latency(*[1_900_000] * 50, 1 << 40),
        "release_deferred": latency(*[500] * 211), "scan": latency(7000, 9000)}
    counters = {
        "allocs_hit": 200, "allocs_contig": 50, "allocs_enomem": 1, "alloc_pages_hit": 3200,
        "alloc_pages_contig": 800, "alloc_pages_failed": 99999, "contig_ok": 50,
        "contig_ebusy": 1, "flushes": 7, "flushed_extents": 9, "flushed_pages": 144,
        "releases_deferred": 211, "release_pages_deferred": 3376, "scans": 2,
        "scans_stopped": 1, "scan_pages_asked": 192, "scan_pages_returned": 128,
        "scan_pages_freed": 128, "counts": 3, "batch_writes": 1,
        "allocs_retried": 1, "alloc_retries": 1}
    first = replace(state(at_ns=9 * 10 ** 9, allocated=((0x40000, 512), (0x40400, 16)),
                          extents=((0x40300, 64), (0x40200, 32)), begun=516),
                    policy=1,
                    placed=Placed(((0x41000, 3000), (0x43000, 9)), ((0x40500, 31),)))
    broken = state(SECOND, at_ns=9 * 10 ** 9, fault="list changed while it was walked")
    divergence = Divergence(
        "R12", "reserved", 8 * 10 ** 9, ((0x40000, 16),), "pages 0x40000+16 free or deferred",
        "granted while allocated",
        (Operation(alloc(7_000_000, 7_001_500, 0x40000, 16)),
         Operation(alloc(7_002_000, 9_002_000, 0x40000, 16, Path.CONTIG, n_contig=1),
                   (contig(7_003_000, 9_001_000, 7_002_000, 0x40000, 16),))))
    verdict = Verdict(
        Outcome.DIVERGE, ("area camera: never at rest",), (divergence,), {"R12": 3},
        (Coverage("reserved", 516, 500, {"events lost": 16}, 4, 8 * 10 ** 9),
         Coverage("camera")))
    spent = {"waiting": latency(500_000), "draining": latency(*[1_500_000] * 50),
             "isolating": latency(*[200_000] * 50), "unexplained": latency(*[4000] * 50)}
    first_counts = replace(
        counts(AREA, latencies, **counters),
        phases={name: spent.get(name, latency()) for name in NAMES},
        moved={"isolated": 90, "migrated": 60, "failed": 12, "reclaimed": 30, "missed": 0})
    return View(
        {**IDENTITY, "probes": "7", "compile_seconds": "3.25"}, (AREA, SECOND),
        replace(reading(10 * 10 ** 9, (first_counts, first),
                        (counts(SECOND), broken), losses={"ring_full": 16}), stacks_failed=2,
                withheld={"phases": Withheld(True, 70), "records": Withheld(False, 0)}),
        verdict, Tallied(12, 10), holders=holders(), buffers=buffers(), records=570, readings=10,
        faulted={"camera": 10}, failures=(FAILURE,),
        causes={0: {**_NO_CAUSE, "oversize": 1}, 1: _NO_CAUSE})


def holders() -> Holders:
    """Three that hold pages: one since before the observer came, one since before a loss."""
    camera = Caller("process", "camera", 1000, "dma-buf heap", 3)
    worker = Caller("kthread", "kworker/1:2", 77, "v4l2: vim2m", 9)
    return Holders(
        10 * 10 ** 9,
        {0: (Piece(0x40000, 256, 10 ** 9, BEFORE), Piece(0x40100, 256, 10 ** 9, camera),
             Piece(0x40400, 16, 7 * 10 ** 9, worker))}, {0: True}, 5 * 10 ** 9,
        {(0, camera): Counts(200, 3200, {}), (0, worker): Counts(50, 800, {"ENOMEM": 1})},
        {0: Counts(3, 12, {})},
        {(0, ("process", "camera", "dma-buf heap")): Counts(200, 3200, {}),
         (0, ("kthread", "kworker", "v4l2: vim2m")): Counts(50, 800, {"ENOMEM": 1}),
         (0, OTHER): Counts(3, 12, {})})


def buffers() -> Buffers:
    """One shared by two processes, and one that only the kernel holds."""
    return Buffers((
        Buffer(7, 64 << 10, "reserved", "frame",
               (Use(1000, "camera", 2, 0), Use(1001, "codec", 0, 1)), ("vdec",), 4,
               "reserved", (0x40100, 16), "pages"),
        Buffer(9, 4096, "drm", "")), 3, True)


def plain_view() -> View:
    """A kernel without the patch."""
    counted = counts(latencies={"alloc_contig": latency(50_000)}, allocs_contig=1,
                     alloc_pages_contig=4, contig_ok=1)
    return View({**IDENTITY, "patched": "no"}, (AREA,),
                reading(5, (counted, state(extents=None, allocated=((0x40000, 4),)))),
                Verdict(Outcome.AGREE, (), (), {}, (
                    Coverage("reserved", 2, 1, {"began before the probes": 1}, 1, 5),)),
                Tallied(1, 1), records=2, readings=1, causes={0: _NO_CAUSE})
