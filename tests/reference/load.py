# SPDX-License-Identifier: GPL-2.0
"""Random load on the small kernel, and a checker that watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from cmaobs.crosscheck import Checker, Limits
from cmaobs.events import RECORD, Operation
from cmaobs.model import RFC, Policy
from cmaobs.state import AreaFacts, Run
from reference.kernel import Kernel, Steps

Job = Callable[[Kernel, int, list[Run], Random], Steps]
QUICK = Limits(settle_ns=0)


def facts(count: int = 64, order: int = 0, base: int = 0x1000) -> AreaFacts:
    """An area for tests."""
    return AreaFacts(0, "test", base, count, order)


def job(kernel: Kernel, tid: int, held: list[Run], random: Random) -> Steps:
    """One random operation."""
    size = kernel.facts.count
    if "policy-written" in kernel.ways and random.random() < 0.03:
        return kernel.set_policy(tid, random.choice((0, 1)))
    dice = random.random()
    if dice < 0.4 and held:
        pfn, count = held.pop(random.randrange(len(held)))
        if count > 1 and random.random() < 0.1:
            part = random.randrange(1, count)
            part -= part % (1 << kernel.facts.order_per_bit)
            if part:
                held.append((pfn + part, count - part))
                count = part
        return kernel.release(tid, pfn, count)
    if dice < 0.86:
        count = random.choice((1, 1, 2, 3, 4, 4, 8, 8, 16, size // 4))
        if random.random() < 0.02:
            count = random.choice((0, size, size + 1))
        return kernel.alloc(tid, count, random.choice((0, 0, 0, 1, 2, 3, 4)), held)
    if dice < 0.91:
        return kernel.scan(tid, random.choice((0, 1, 2, 3, 8, 16, size)))
    if dice < 0.96:
        return kernel.count(tid)
    if dice < 0.975 and kernel.batch_writable:
        return kernel.set_batch(tid, random.choice((0, 1, 1, 2, 4, size + 1)))
    return kernel.release(tid, kernel.facts.base_pfn + size + 5, 1)


class Crew:
    """Threads that do jobs in any order, a step of one at a time. weights: how often each goes on.

    first: the kernel's number of the first of them.
    """

    def __init__(self, kernel: Kernel, random: Random, threads: int,
                 weights: Sequence[int] | None = None, first: int = 0) -> None:
        self.held: list[list[Run]] = [[] for _ in range(threads)]
        self._kernel, self._random, self._weights, self._first = kernel, random, weights, first
        self._running: dict[int, Steps] = {}

    def steps(self, left: int, begin: Job, stop: int = 0) -> Iterator[None]:
        """So many jobs, until stop are in flight; gives way after each step."""
        while left or len(self._running) > stop:
            tid = (self._random.choices(range(len(self.held)), self._weights)[0] if self._weights
                   else self._random.randrange(len(self.held)))
            if tid in self._running:
                if next(self._running[tid], self._running) is self._running:
                    del self._running[tid]
            elif left:
                left -= 1
                self._running[tid] = begin(self._kernel, self._first + tid, self.held[tid],
                                           self._random)
            self._kernel.tick()
            yield


def records_of(operation: Operation) -> bytes:
    """As the probes send it: the calls first."""
    return b"".join(RECORD.pack(*record) for record in (*operation.calls, operation.record))


class Watch:
    """A checker that sees what a kernel records; some of it late, and some never.

    lose: share of records that are lost. What was lost is known from the next
    reading on, as with the probes. Operations that began before since_ns were
    in flight when the watch began: nothing tells of them but that each reading
    sees whether they still are, and counts those that were until then.
    raw: the checker gets records where it takes them.
    """

    def __init__(self, kernel: Kernel, policy: Policy, lose: float = 0.0,
                 limits: Limits = QUICK, raw: bool = False) -> None:
        self.kernel = kernel
        self.checker = Checker([kernel.facts], policy, limits,
                               policy_probed="policy-written" in kernel.ways or None)
        self.lose = lose
        self.raw = raw
        self.missing = False
        self.since_ns = kernel.tick()
        self.strange = self.strangers()

    def strangers(self) -> bool:
        """Whether an operation is in flight that began before the watch."""
        return any(start < self.since_ns for start in self.kernel.flights.values())

    def hand_over(self) -> None:
        """What the kernel recorded goes to the checker."""
        for operation in self.kernel.out:
            if operation.record.start_ns < self.since_ns:
                continue
            if self.kernel.random.random() < self.lose:
                self.missing = True
            elif not (self.raw and self.checker.feed(records_of(operation))):
                self.checker.push(operation)
        self.kernel.out.clear()
        self.checker.advance(self.kernel.watermark())

    def read(self) -> None:
        """A reading: first the losses, then the snapshot."""
        hidden = self.strangers()
        if self.missing or self.strange:
            self.checker.gap("records lost", self.kernel.tick())
        self.missing, self.strange = False, hidden
        state = self.kernel.snapshot()
        self.checker.observe(replace(state, at_rest=state.at_rest or (hidden
                                     and len(self.kernel.flights) == 1)))


def run(seed: int, threads: int = 4, operations: int = 60, area: AreaFacts | None = None,
        defects: frozenset[str] = frozenset(), policy: Policy = RFC, chance: float = 0.05,
        rests: int = 1, deliver: int = 7, lose: float = 0.0,
        late: bool = False, raw: bool = False,
        ways: frozenset[str] = frozenset()) -> tuple[Checker, Kernel]:
    """Operations by threads, in rounds that end at rest; the checker has seen all of them.

    late: the watch begins while operations are in flight.
    """
    random = Random(seed)
    area = area or facts(random.choice((16, 32, 64, 64, 80)), random.choice((0, 0, 0, 1, 2)),
                         random.choice((0, 0x1000, 0x1008, 0x1014)))
    kernel = Kernel(area, random, batch=random.choice((0, 1, 1, 2)) if policy.deferral else 0,
                    defects=defects, ways=ways)
    kernel.chance = chance
    kernel.batch_writable = policy.deferral
    crew = Crew(kernel, random, threads, [random.choice((1, 1, 3, 10)) for _ in range(threads)])

    def go(left: int, watch: Watch | None, stop: int = 0) -> None:
        for _ in crew.steps(left, job, stop):
            if watch and random.random() < 1 / deliver:
                watch.hand_over()
                if random.random() < 0.2:
                    watch.read()

    if late:
        go(operations // 2, None, threads - 1)
        kernel.out.clear()
    watch = Watch(kernel, policy, lose, raw=raw)
    watch.read()
    for _ in range(rests):
        go(operations // rests, watch)
        watch.hand_over()
        for _ in range(2):
            watch.read()
            kernel.clock += 1
            watch.checker.advance(kernel.watermark())
    return watch.checker, kernel
