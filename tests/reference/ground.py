# SPDX-License-Identifier: GPL-2.0
"""What the small kernel's operations stand on: pages, bits, the list, time, and what can be seen.

Nothing here is shared with the model or the checker.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random

from cmaobs.events import Kind, Operation
from cmaobs.state import AreaFacts, AreaState, Run
from reference.op import Op

Steps = Generator[None, None, None]


class Ground:
    """One area and the records of what happened to it."""

    def __init__(self, facts: AreaFacts, random: Random, batch: int = 0,
                 defects: frozenset[str] = frozenset(), alone: bool = False,
                 ways: frozenset[str] = frozenset()) -> None:
        self.facts = facts
        self.random = random
        self.defects = defects
        self.ways = ways
        self.alone = alone  # one thread: nothing nested, nothing that fails by chance
        self.batch = batch
        self.policy = int("deferred-first" in ways)
        self.bits = [False] * (facts.count >> facts.order_per_bit)
        self.buddy = [True] * facts.count  # page in the buddy
        self.pinned: set[int] = set()  # pages that cannot be migrated now
        self.extents: list[Run] = []  # newest first
        self.defer_count = 0
        self.mutex = False
        self.clock = 1000
        self.flights: dict[int, int] = {}
        self.out: list[Operation] = []
        self.begun = 0
        self.succeeded = self.failed = 0
        self.batch_writable = True
        self.chance = 0.0  # of failures and nested scans
        self.fired: set[str] = set()

    def bad(self, name: str) -> bool:
        """Whether to make this mistake here; remembers that it was made."""
        if name in self.defects:
            self.fired.add(name)
            return True
        return False

    def between(self, *sections: str) -> Steps:
        """Another thread may run here, unless the kernel has one of these ways."""
        if not self.ways & {*sections}:
            yield

    def give_back(self, op: Op | None, extents: list[Run]) -> Steps:
        """Extents that are off the list go to the buddy."""
        for first, pages in extents:
            for _ in self.free(op, first, pages):
                yield from self.between("long-sections")

    def tick(self) -> int:
        """Time goes on."""
        self.clock += self.random.randint(1, 9)
        return self.clock

    def luck(self) -> bool:
        """Whether something rare happens."""
        return self.random.random() < self.chance

    def free(self, op: Op | None, pfn: int, count: int) -> Steps:
        """free_contig_range()."""
        started = self.tick()
        yield
        for p in range(pfn - self.facts.base_pfn, pfn - self.facts.base_pfn + count):
            self.buddy[p] = True
        yield
        if op:
            op.call(Kind.FREE, started, pfn, count, 0)

    def clear(self, pfn: int, count: int) -> None:
        """Clear the bits of pages."""
        granule = 1 << self.facts.order_per_bit
        at = (pfn - self.facts.base_pfn) // granule
        for i in range(at, at - (-count // granule)):
            self.bits[i] = False

    def snapshot(self) -> AreaState:
        """What the kernel holds; at rest where nothing is in flight."""
        start, order = self.tick(), self.facts.order_per_bit
        runs: list[Run] = []
        for i, held in enumerate(self.bits):
            if held:
                pfn = self.facts.base_pfn + (i << order)
                if runs and sum(runs[-1]) == pfn:
                    runs[-1] = (runs[-1][0], runs[-1][1] + (1 << order))
                else:
                    runs.append((pfn, 1 << order))
        return AreaState(self.facts, start, self.tick(), tuple(runs), tuple(self.extents),
                         self.defer_count, self.batch, self.succeeded, self.failed, self.begun,
                         not self.flights, shrinker_batch=self.batch,
                         policy=self.policy if "policy-written" in self.ways else None)

    def watermark(self) -> int:
        """Every operation that began before has ended."""
        return min(self.flights.values(), default=self.tick())
