# SPDX-License-Identifier: GPL-2.0
"""The small kernel's load as a live source would tell it: batches and readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from cmaobs.events import RECORD, Kind
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Losses, Reading
from reference.kernel import Kernel
from reference.load import Crew, facts, job

IDENTITY = {"release": "small", "patched": "yes", "settled_ns": "0"}
Step = Batch | Reading


class Stream:
    """A source, whose steps are made when it is made.

    rests: rounds, each of which ends at rest with two readings. lose: share of operations whose
    records do not come; the next reading tells.
    """

    def __init__(self, seed: int, threads: int, operations: int = 60, rests: int = 3,
                 defects: frozenset[str] = frozenset(), lose: float = 0.0,
                 area: AreaFacts | None = None) -> None:
        self.identity: Mapping[str, str] = IDENTITY
        self._random = Random(seed)
        self._lose = lose
        self._lost = 0
        self.made: list[Step] = []
        area = area or facts(self._random.choice((16, 32, 64)), self._random.choice((0, 0, 0, 1)))
        self.areas = (area,)
        self.kernel = Kernel(area, self._random, batch=self._random.choice((1, 2, 4)))
        self.kernel.chance = 0.05
        self._crew = Crew(self.kernel, self._random, threads)
        self._read()
        for round_ in range(rests):
            self.kernel.defects = defects if round_ else frozenset()
            self._go(operations // rests)
            for _ in range(2):
                self._read()
            self.kernel.clock += 1000
        self.made.append(Batch(b"", self.kernel.watermark()))

    def steps(self) -> Iterator[Step]:
        """Each of them."""
        return iter(self.made)

    def close(self) -> None:
        """Nothing is open."""

    def _go(self, left: int) -> None:
        random = self._random
        for _ in self._crew.steps(left, job):
            if random.random() < 0.15:
                self._batch()
                if random.random() < 0.3:
                    self._read()

    def _batch(self) -> None:
        watermark = self.kernel.watermark()
        data = b""
        for operation in self.kernel.out:
            if self._random.random() < self._lose:
                self._lost += 1
                continue
            data += b"".join(RECORD.pack(*call) for call in operation.calls)
            free = sum(call.count for call in operation.calls if call.kind == Kind.FREE)
            record = operation.record._replace(free_pages=free)
            data += RECORD.pack(*record)
        self.kernel.out.clear()
        self.made.append(Batch(data, watermark))

    def _read(self) -> None:
        state = self.kernel.snapshot()
        state = replace(state, defer_count=max(state.defer_count or 0, 0))  # as records have it
        self._batch()
        at = self.kernel.tick()
        self.made.append(Reading(at, 1.7e9 + at, (), (state,), Losses({"ring_full": self._lost})))
