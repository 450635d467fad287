# SPDX-License-Identifier: GPL-2.0
"""What was asked of an area, and when, apart from what came of it.

Times are CLOCK_MONOTONIC in ns, counts are pages, addresses are pfns. Columns are arrays, since a
day of a busy device is ten million operations.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cmaobs.events import Path
from cmaobs.state import AreaFacts, Run

ASK, GIVE, SCAN, REACH, BATCH = range(5)
"""Kinds of events. ASK: an allocation. GIVE: a release, of a part of what was asked for. SCAN: of
the shrinker, by somebody who wrote to debugfs. REACH: reclaim asked the shrinker what it has.
BATCH: batch was written.
"""
IDLE_NS = 2_000_000
WARM = 2
BEFORE = -1  # the ask of pages that were allocated when the recording began


class Event(NamedTuple):
    """One row of Demand.

    ASK: ask is its number, a its pages, b the alignment's order. GIVE: ask is whose pages these
    are, a the first of them counted from the ask's first, b their number; of BEFORE, a is a pfn.
    SCAN: a is nr_to_scan. BATCH: a is the value.
    """

    time_ns: int
    kind: int
    ask: int
    a: int
    b: int


@dataclass(slots=True)
class Events:
    """Rows in the order in which they took effect. tids: the thread of each."""

    times: array[int] = field(default_factory=lambda: array("q"))
    kinds: bytearray = field(default_factory=bytearray)
    asks: array[int] = field(default_factory=lambda: array("q"))
    a: array[int] = field(default_factory=lambda: array("q"))
    b: array[int] = field(default_factory=lambda: array("q"))
    tids: array[int] = field(default_factory=lambda: array("q"))

    def add(self, event: Event, tid: int) -> None:
        """A further row."""
        time_ns, kind, ask, a, b = event
        self.times.append(time_ns)
        self.kinds.append(kind)
        self.asks.append(ask)
        self.a.append(a)
        self.b.append(b)
        self.tids.append(tid)

    def __iter__(self) -> Iterator[Event]:
        return map(Event._make, zip(self.times, self.kinds, self.asks, self.a, self.b,
                                    strict=True))

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(slots=True)
class Asks:
    """What came of each ask in the recording, by its number. idle: whether less than WARM others on
    the area had come since it was idle for IDLE_NS: caches are cold then.

    paths: Path; NONE where the allocation itself was not seen. tries: of asks that called
    alloc_contig_range() in vain, (pfn, ret) of each call. freeing: of asks that flushed, ns that
    free_contig_range() took inside. alone: of asks that the page allocator served, ns that were not
    spent waiting for the one before; they wait for one mutex.
    """

    pages: array[int] = field(default_factory=lambda: array("q"))
    paths: bytearray = field(default_factory=bytearray)
    idle: bytearray = field(default_factory=bytearray)
    durations: array[int] = field(default_factory=lambda: array("q"))
    pfns: array[int] = field(default_factory=lambda: array("q"))
    alone: array[int] = field(default_factory=lambda: array("q"))
    tries: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    freeing: dict[int, int] = field(default_factory=dict)

    def add(self, pages: int, path: int, duration_ns: int, pfn: int, idle: bool = False,
            alone_ns: int = 0) -> int:
        """Its number."""
        self.alone.append(alone_ns)
        self.idle.append(idle)
        self.pages.append(pages)
        self.paths.append(path)
        self.durations.append(duration_ns)
        self.pfns.append(pfn)
        return len(self.paths) - 1

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(slots=True)
class Demand:
    """The demand on one area in one recording.

    kernel: its release. patched: whether it defers. wall_s: time of day of the first reading.
    callers: by the name of the thread, allocations, pages asked for, failures and ns spent.
    reserved, extents, batch: as the first reading has them.
    threads: that allocated. overlapping: operations during which another one of the area ran.
    contig: calls of alloc_contig_range(); busy: of them, those that returned -EBUSY. frees: pages
    and ns of free_contig_range() inside releases. later: of asks that failed, when what they would
    have got is taken to be given back: (time_ns, ask, pages). left_out: what was not used, and why.
    """

    facts: AreaFacts
    source: str
    patched: bool
    kernel: str = ""
    wall_s: float = 0.0
    callers: dict[str, list[int]] = field(default_factory=dict)
    reserved: tuple[Run, ...] = ()
    extents: tuple[Run, ...] = ()
    batch: int = 0
    start_ns: int = 0
    end_ns: int = 0
    events: Events = field(default_factory=Events)
    asks: Asks = field(default_factory=Asks)
    threads: int = 0
    overlapping: int = 0
    operations: int = 0
    contig: int = 0
    busy: int = 0
    frees: list[tuple[int, int]] = field(default_factory=list)
    later: list[tuple[int, int, int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def counted(self) -> int:
        """Asks that were seen as allocations."""
        return len(self.asks) - self.asks.paths.count(Path.NONE)
