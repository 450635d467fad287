# SPDX-License-Identifier: GPL-2.0
"""What one recording says, as numbers. Pure.

Latencies by path are the histograms that were made in the kernel, counted from the recording's
beginning. Latencies by size are sorted from its records into the same slots: where no record was
lost they add up to the kernel's, which is checked. Where the time of an allocation went is from
records: the calls of alloc_contig_range inside it, the pages that it gave back (the flush of a
miss), and the rest, which is waiting for locks, searching the bitmap and what else there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cmaobs import latency
from cmaobs.events import Kind, Operation, Path
from cmaobs.state import AreaFacts, Latency, Reading
from cmaobs.view import View

# As enum cmaobs_hist names them.
ALLOCS = ("alloc_hit", "alloc_contig", "alloc_failed")
RELEASES = ("release_deferred", "release_direct")
_HIST: Mapping[tuple[int, int], str] = {
    (Kind.ALLOC, Path.HIT): "alloc_hit", (Kind.ALLOC, Path.CONTIG): "alloc_contig",
    (Kind.ALLOC, Path.FAILED): "alloc_failed", (Kind.RELEASE, Path.DEFERRED): "release_deferred",
    (Kind.RELEASE, Path.DIRECT): "release_direct"}


@dataclass
class Spent:
    """Where the time of allocations went, ns in all. whole: those whose calls were all seen."""

    whole: int = 0
    contig_ns: int = 0
    flush_ns: int = 0
    rest_ns: int = 0


@dataclass
class Area:
    """One area over one recording. latencies: by enum cmaobs_hist, made in the kernel.

    slots: hits by slot, from records, by histogram and size class. spent: by path and size class.
    withheld: (time in ns, pages deferred) at each reading. missing: operations that the kernel
    counted and no record tells of, by histogram.
    """

    facts: AreaFacts
    counters: Mapping[str, int] = field(default_factory=dict)
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    slots: dict[tuple[str, int], Counter[int]] = field(default_factory=dict)
    sums: Counter[tuple[str, int]] = field(default_factory=Counter)
    spent: dict[tuple[str, int], Spent] = field(default_factory=dict)
    withheld: list[tuple[int, int]] = field(default_factory=list)

    def by_size(self, kind: str, size: int) -> Latency:
        """A histogram of records of one size class."""
        hits = self.slots.get((kind, size), Counter())
        return Latency(self.sums[kind, size], tuple(hits[i] for i in range(latency.SLOTS)))

    @property
    def missing(self) -> dict[str, int]:
        """Of each histogram that records do not add up to, by how many."""
        seen: Counter[str] = Counter()
        for (kind, _), hits in self.slots.items():
            seen[kind] += hits.total()
        return {kind: self.latencies[kind].count - seen[kind]
                for kind in (*ALLOCS, *RELEASES) if kind in self.latencies
                and self.latencies[kind].count != seen[kind]}

    @property
    def hit_ratio(self) -> float | None:
        """Hits of what was granted; None where nothing was."""
        hits, contig = self.counters.get("allocs_hit", 0), self.counters.get("allocs_contig", 0)
        return hits / (hits + contig) if hits + contig else None

    def withheld_mean(self) -> float | None:
        """Pages deferred, over time, each reading counting until the next; None below two."""
        pairs = list(zip(self.withheld, self.withheld[1:], strict=False))
        span = sum(after[0] - before[0] for before, after in pairs)
        if span <= 0:
            return None
        return sum((after[0] - before[0]) * before[1] for before, after in pairs) / span


class Measuring:
    """A sink of cmaobs.export.flow: takes everything of a recording, then has its areas."""

    def __init__(self, areas: Iterable[AreaFacts]) -> None:
        self.areas = {facts.index: Area(facts) for facts in areas}
        self.first_ns = self.last_ns = 0

    def reading(self, reading: Reading) -> None:
        """The latest counts, and what is withheld now."""
        self.first_ns = self.first_ns or reading.time_ns
        self.last_ns = reading.time_ns
        for counts in reading.counts:
            area = self.areas[counts.facts.index]
            area.counters, area.latencies = counts.counters, counts.latencies
        for state in reading.states:
            if not state.fault and state.defer_count is not None:
                self.areas[state.facts.index].withheld.append((state.start_ns, state.defer_count))

    def operation(self, operation: Operation, stacks: Mapping[int, tuple[str, ...]]) -> None:
        """An allocation or a release into its slot; stacks are not looked at."""
        del stacks
        record = operation.record
        kind = _HIST.get((record.kind, record.path))
        area = self.areas.get(record.area)
        if kind is None or area is None:
            return
        key = (kind, size_class(record.count))
        took_ns = record.end_ns - record.start_ns
        area.slots.setdefault(key, Counter())[latency.slot_of(took_ns)] += 1
        area.sums[key] += took_ns
        if record.kind == Kind.ALLOC and operation.complete:
            _spend(area.spent.setdefault(key, Spent()), operation, took_ns)

    def end(self, view: View) -> None:
        """Nothing is left to do."""


def _spend(spent: Spent, operation: Operation, took_ns: int) -> None:
    inside = {kind: sum(call.end_ns - call.start_ns for call in operation.calls
                        if call.kind == kind) for kind in (Kind.CONTIG, Kind.FREE)}
    spent.whole += 1
    spent.contig_ns += inside[Kind.CONTIG]
    spent.flush_ns += inside[Kind.FREE]
    spent.rest_ns += took_ns - inside[Kind.CONTIG] - inside[Kind.FREE]


def size_class(pages: int) -> int:
    """The power of two that begins the class: 1, 2 to 3, 4 to 7, ... pages."""
    return 1 << max(pages.bit_length() - 1, 0)
