# SPDX-License-Identifier: GPL-2.0
"""An operation of the small kernel in flight, and the records it leaves."""

from __future__ import annotations

from typing import Protocol

from cmaobs.events import Kind, Operation, Path, Record
from cmaobs.state import AreaFacts


class Clocked(Protocol):
    """What a record needs of the kernel."""

    facts: AreaFacts
    batch: int
    defer_count: int
    begun: int
    flights: dict[int, int]
    out: list[Operation]

    def tick(self) -> int:
        """Time goes on."""


class Op:
    """An operation in flight, and its record when it ends."""

    def __init__(self, kernel: Clocked, tid: int, kind: Kind, pfn: int = 0, count: int = 0,
                 align: int = 0, seen: bool = True, depth: int = 0) -> None:
        """seen: whether probes are on the function. depth: operations around it on its thread."""
        self.kernel, self.tid, self.kind = kernel, tid, kind
        self.pfn, self.count, self.align = pfn, count, align
        self.start = kernel.tick()
        self.entry = kernel.defer_count
        self.depth = depth
        self.calls: list[Record] = []
        self.seen = seen
        if seen:
            kernel.begun += 1
            kernel.flights[id(self)] = self.start

    def call(self, kind: Kind, started: int, pfn: int, count: int, ret: int) -> None:
        """A call inside has ended."""
        self.calls.append(self.record(kind, started, pfn, count, ret, Path.NONE, self.start))

    def record(self, kind: Kind, started: int, pfn: int, count: int, ret: int, path: Path,
               op_ns: int = 0) -> Record:
        """As the probes send it."""
        k = self.kernel
        return Record(started, k.tick(), op_ns, pfn, count, ret, max(self.entry, 0),
                      max(k.defer_count, 0), k.batch, 0, self.tid, self.tid,
                      0 if op_ns else sum(c.kind == Kind.CONTIG for c in self.calls),
                      0 if op_ns else sum(c.kind == Kind.FREE for c in self.calls),
                      0, kind, path, k.facts.index, self.tid, self.align,
                      self.depth, 0, b"test")

    def finish(self, ret: int, path: Path = Path.NONE, pfn: int = 0) -> None:
        """The operation returns."""
        k = self.kernel
        if not self.seen:
            return
        del k.flights[id(self)]
        record = self.record(self.kind, self.start, pfn, self.count, ret, path)
        k.out.append(Operation(record, tuple(self.calls)))
