# SPDX-License-Identifier: GPL-2.0
"""Causes of failure against what the small kernel saw when its search found nothing."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import stream
from reference.kernel import Kernel, Steps

from cmaobs.events import Kind, Path, Record, decode
from cmaobs.source import Batch
from cmaobs.state import AreaFacts
from cmaobs.why import Failure, Why
from cmaobs.why.bits import Bits

Truth = tuple[int, tuple[bool, ...]]
"""Time and bits."""


class Seeing(Kernel):
    """Writes down the bits of a search that finds nothing, by thread."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.noted: dict[int, list[Truth]] = {}
        self._running = 0

    def alloc(self, tid: int, count: int, align: int, got: Any = None) -> Steps:
        steps = super().alloc(tid, count, align, got)
        while True:
            self._running = tid
            try:
                next(steps)
            except StopIteration:
                return
            yield

    def search(self, start: int, size: int, align: int) -> int | None:
        found = super().search(start, size, align)
        if found is None:
            self.noted.setdefault(self._running, []).append((self.clock, tuple(self.bits)))
        return found


class Paired(Why):
    """Keeps each failure with its record."""

    def __init__(self, areas: tuple[AreaFacts, ...]) -> None:
        super().__init__(areas)
        self.pairs: list[tuple[Record, Failure]] = []

    def _failure(self, record: Record, bits: Bits) -> Failure:
        found = super()._failure(record, bits)
        self.pairs.append((record, found))
        return found


def explained(seed: int, threads: int) -> tuple[Seeing, Paired]:
    """A run of the small kernel, and what is said of its failures: of each, once."""
    with patch.object(stream, "Kernel", Seeing):
        source = stream.Stream(seed, threads, operations=120)
    why = Paired(source.areas)
    watermark, failed = 0, []
    for step in source.made:
        if isinstance(step, Batch):
            why.add(step.data)
            watermark = max(watermark, step.watermark_ns)
            failed += [one for one in decode(step.data) if one.kind == Kind.ALLOC
                       and one.path == Path.FAILED]
        else:
            why.read(step, watermark)
    why.end(watermark)
    assert sorted(failed) == sorted(record for record, _ in why.pairs)
    assert isinstance(source.kernel, Seeing)
    return source.kernel, why


def holds(kernel: Seeing, record: Record, found: Failure) -> bool:
    """Whether the cause and the bounds are true of the bits that the search saw."""
    (_, bits), = [one for one in kernel.noted[record.tid]
                  if record.start_ns <= one[0] <= record.end_ns]
    order = kernel.facts.order_per_bit
    free = bits.count(False) << order
    longest = max(map(len, "".join("x" if one else " " for one in bits).split("x"))) << order
    assert found.clear_pages is not None
    assert found.largest_run_pages is not None
    asked = -(-record.count >> order) << order
    truth = ("no_room" if free < asked else "fragmented" if longest < asked else "alignment")
    return (found.clear_pages[0] <= free <= found.clear_pages[1]
            and found.largest_run_pages[0] <= longest <= found.largest_run_pages[1]
            and found.cause in (truth, "unknown"))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 32), st.integers(1, 4))
def test_no_cause_is_wrong(seed: int, threads: int) -> None:
    kernel, why = explained(seed, threads)
    assert sum(why.counts[0].values()) == len(why.pairs)
    for record, one in why.pairs:
        if one.clear_pages is not None:
            assert holds(kernel, record, one), (record, one)
        elif record.n_contig:
            assert one.cause == {-16: "busy", -4: "interrupted", -12: "no_memory"}[record.ret]


@pytest.mark.parametrize(("threads", "unknown"), [(1, 0.05), (2, 0.3), (4, 0.7)])
def test_most_are_told(threads: int, unknown: float) -> None:
    """The small kernel's threads overlap all the time, and its readings are far apart."""
    dice = Random(threads)
    counts: Counter[str] = Counter()
    for _ in range(40):
        counts.update(explained(dice.randrange(1 << 32), threads)[1].counts[0])
    assert counts["no_room"] > 20
    assert counts["fragmented"] > 20
    assert counts["alignment"] > 5
    assert counts["unknown"] < counts.total() * unknown, counts
