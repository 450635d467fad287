# SPDX-License-Identifier: GPL-2.0
"""Small histories of one thread, as a source would tell them: one lawful, others not."""

from __future__ import annotations

import dataclasses
from collections import Counter

from cmaobs.events import Path, Record, decode
from cmaobs.source import Batch
from cmaobs.state import Reading, Run
from cmaobs.tally import count
from golden.samples import AREA, alloc, batch, contig, counts, reading, release, state

SECOND = 10 ** 9
BASE = AREA.base_pfn
PAGES = 16


class History:
    """Allocates and releases the area's first pages, a round and a reading each second."""

    def __init__(self) -> None:
        self.steps: list[Batch | Reading] = []
        self._now = SECOND
        self._counters: Counter[str] = Counter()
        self._begun = 0
        self._deferred: tuple[Run, ...] = ()
        self._allocated: tuple[Run, ...] = ()
        self._lost: dict[str, int] = {}
        self.read()

    def read(self) -> None:
        """A reading at rest; the watermark passes it with the next step."""
        self._now += SECOND
        granted = self._counters["alloc_pages_hit"] + self._counters["alloc_pages_contig"]
        held = dataclasses.replace(
            state(AREA, self._now, self._allocated, self._deferred, self._begun),
            pages_succeeded=granted)
        self.steps.append(reading(
            self._now + 2000, (counts(AREA, None, **self._counters), held), losses=self._lost))
        self.steps.append(batch(watermark=self._now + 500_000))

    def round(self, *, release_recorded: bool = True) -> None:
        """Allocation, by a hit once pages are deferred, and release, deferred."""
        start = self._now = self._now + 1_000_000
        before = PAGES if self._deferred else 0
        if before:
            granted = [alloc(start, start + 2000, BASE, PAGES, defer_entry=PAGES, batch=128)]
        else:
            granted = [contig(start + 500, start + 90_000, start, BASE, PAGES),
                       alloc(start, start + 100_000, BASE, PAGES, Path.CONTIG, n_contig=1,
                             batch=128)]
        freed = release(start + 200_000, start + 201_000, BASE, PAGES, defer_exit=PAGES, batch=128)
        self._send(*granted, *([freed] if release_recorded else []),
                   watermark=start + 300_000)
        if not release_recorded:
            count(freed, self._counters)
        self._begun += 2
        self._deferred = ((BASE, PAGES),)

    def lose(self) -> None:
        """The next reading says that a record was lost."""
        self._lost = {"ring_full": self._lost.get("ring_full", 0) + 1}

    def grant_twice(self) -> None:
        """The same pages to a second caller while the first has them: R12."""
        start = self._now = self._now + 1_000_000
        pair = [alloc(start + i * 10_000, start + i * 10_000 + 2000, BASE, PAGES,
                      defer_entry=0 if i else PAGES, batch=128) for i in range(2)]
        self._send(*pair, watermark=start + 300_000)
        self._begun += 2
        self._deferred, self._allocated = (), ((BASE, PAGES),)

    def give_back(self) -> None:
        """The pages are released, deferred."""
        start = self._now = self._now + 1_000_000
        self._send(release(start, start + 1000, BASE, PAGES, defer_exit=PAGES, batch=128),
                   watermark=start + 300_000)
        self._begun += 1
        self._deferred, self._allocated = ((BASE, PAGES),), ()

    def _send(self, *records: Record, watermark: int) -> None:
        for record in records:
            count(record, self._counters)
        self.steps.append(batch(*records, watermark=watermark))
        self._now = watermark


def lawful() -> list[Batch | Reading]:
    """Five rounds that the rules explain."""
    history = History()
    for _ in range(5):
        history.round()
        history.read()
    return history.steps


def unlawful() -> list[Batch | Reading]:
    """The same, but then two callers own the same pages."""
    history = History()
    for _ in range(3):
        history.round()
        history.read()
    history.grant_twice()
    for _ in range(3):
        history.read()
    return history.steps


def lossy() -> list[Batch | Reading]:
    """A release whose record was lost, so that the next allocation looks unlawful."""
    history = History()
    for _ in range(3):
        history.round()
        history.read()
    history.round(release_recorded=False)
    history.round()
    history.lose()
    history.read()
    history.read()
    return history.steps


def with_stack(step: Batch, number: int) -> Batch:
    """The batch, each record with that stack."""
    return batch(*(record._replace(stack=number) for record in decode(step.data)),
                 watermark=step.watermark_ns)


def with_stacks(step: Batch | Reading, stacks: dict[int, tuple[str, ...]]) -> Reading:
    """The reading, which names stacks."""
    assert isinstance(step, Reading)
    return dataclasses.replace(step, stacks=stacks, stacks_failed=0)
