# SPDX-License-Identifier: GPL-2.0
"""Histories that nobody made, through everything that replay runs: no traceback, no false alarm."""

from __future__ import annotations

import dataclasses
import random

import pytest
from golden import samples
from golden.samples import AREA, ListSource, alloc, batch, contig, reading, release, state

from cmaobs import metrics, report
from cmaobs.crosscheck import Checker
from cmaobs.events import RECORD, Path, Record
from cmaobs.observe import Observer
from cmaobs.sanity import areas_fault, record_fault, state_fault
from cmaobs.source import Batch
from cmaobs.state import AreaState, Reading, Run
from cmaobs.verdict import Outcome

AREAS = {0: AREA}
GOOD = alloc(10, 20, AREA.base_pfn, 16)


@pytest.mark.parametrize(("changes", "fault"), [
    ({}, ""), ({"order_per_bit": 2}, ""), ({"count": 1 << 28}, ""), ({"count": 0}, ""),
    ({"order_per_bit": 15}, "area reserved: 16384 pages in bits of 2^15 pages"),
    ({"order_per_bit": 64, "count": 0}, "0 pages in bits of 2^64 pages"),
    ({"count": 3, "order_per_bit": 1}, ""),
    ({"count": 3, "order_per_bit": 2}, "area reserved: 3 pages in bits of 2^2 pages"),
    ({"count": (1 << 28) + 1}, "areas of 268435457 pages, more than 268435456"),
])
def test_areas_are_those_of_a_kernel_and_of_a_size_that_memory_holds(
        changes: dict[str, int], fault: str) -> None:
    found = areas_fault([dataclasses.replace(AREA, **changes)])
    assert fault in found
    assert bool(fault) == bool(found)


def test_all_areas_together_must_not_be_too_large() -> None:
    half = dataclasses.replace(AREA, count=1 << 27)
    assert not areas_fault([half, half])
    assert "areas of 402653184 pages" in areas_fault([half] * 3)


@pytest.mark.parametrize("record", [
    GOOD, release(10, 20, 5, 1 << 30, Path.REJECTED), GOOD._replace(area=0xFFFF, pfn=1),
    alloc(10, 20, 0, 1 << 40, Path.FAILED, ret=-12), contig(10, 20, 10, AREA.base_pfn, 16, -16),
])
def test_what_can_be_is_let_through(record: Record) -> None:
    assert record_fault(record, AREAS) == ""


@pytest.mark.parametrize(("changes", "fault"), [
    ({"kind": 9}, "kind 9 with path 1"), ({"path": 9}, "kind 1 with path 9"),
    ({"start_ns": 21}, "times 0, 21, 20 ns"), ({"op_ns": 11}, "times 11, 10, 20 ns"),
    ({"end_ns": 1 << 63}, "times 0, 10,"), ({"count": 1 << 60}, "pages aligned to order 0"),
    ({"align": 64}, "order 64"), ({"n_free": 1 << 31}, "16 pages"), ({"area": 7}, "area 7"),
    ({"pfn": AREA.base_pfn - 1}, "not in area reserved"),
    ({"pfn": AREA.base_pfn + AREA.count - 15}, "not in area reserved"),
])
def test_what_cannot_be_is_named(changes: dict[str, int], fault: str) -> None:
    changed = Record(**{**GOOD._asdict(), **changes})
    assert fault in record_fault(changed, AREAS)


@pytest.mark.parametrize(("changes", "fault"), [
    ({}, ""), ({"fault": "torn"}, "torn"), ({"end_ns": -1}, "times 0, -1 ns"),
    ({"allocated": ((1, 1),)}, "bits of pfn 0x1+1"),
    ({"allocated": ((AREA.base_pfn, 9), (AREA.base_pfn + 8, 1))}, "bits of pfn 0x40008+1"),
    ({"extents": ((AREA.base_pfn, 1 << 50),)}, "an extent of pfn 0x40000+1125899906842624"),
    ({"extents": ((AREA.base_pfn + 9, 0), (AREA.base_pfn, 9))}, ""),
])
def test_states_likewise(changes: dict[str, object], fault: str) -> None:
    changed = dataclasses.replace(state(), **changes)  # type: ignore[arg-type]
    assert state_fault(changed) == fault


def test_impossible_records_make_the_verdict_unknown_and_are_shown() -> None:
    observer = Observer(ListSource(
        reading(500, (samples.counts(), state(at_ns=400))), batch(GOOD._replace(kind=99)),
        reading(1500, (samples.counts(), state(at_ns=1400)))), Checker((AREA,)))
    list(observer.steps())
    assert observer.view.impossible == 1
    assert observer.view.verdict is not None
    assert observer.view.verdict.outcome is Outcome.UNKNOWN
    assert "1 impossible records, the first with kind 99" in report.draw_summary(
        report.summary(observer.view))


def _row(rng: random.Random, now: int) -> bytes:
    """A record that is possible more often than not, and never plausible."""
    any64 = rng.getrandbits(64)
    start = rng.choice([now + rng.randrange(1000)] * 8 + [any64])
    pfn = rng.choice([AREA.base_pfn + rng.randrange(64)] * 8 + [any64])
    fields = dict.fromkeys(Record._fields, 0) | {
        "start_ns": start, "end_ns": min(start + rng.randrange(500), (1 << 64) - 1),
        "op_ns": rng.choice([0, start, now]), "pfn": pfn,
        "count": rng.choice([0, 1, 2, 16, 64, 64, 16, 1 << 20, any64]),
        "ret": rng.choice([0, 0, 1, -1, -2, -12, -16, any64 - (1 << 63)]),
        "kind": rng.choice([1, 1, 2, 2, 3, 4, 5, 16, 17, any64 & 0xFFFF]),
        "path": rng.choice([0, 1, 2, 3, 4, 5, 6]), "area": rng.choice([0, 0, 0, 1, 0xFFFF, 9]),
        "align": rng.choice([0, 0, 3, 255]), "cpu": rng.randrange(3), "tid": rng.randrange(3)}
    fields |= {name: rng.choice([0, 0, 1, 3, any64 & 0xFFFFFFFF])
               for name in ("n_contig", "n_free", "lost")}
    fields |= {name: rng.choice([0, 16, any64])
               for name in ("defer_entry", "defer_exit", "batch", "free_pages")}
    return RECORD.pack(*(fields | {"comm": rng.randbytes(16)}).values())


def _state(rng: random.Random, now: int) -> AreaState:
    def runs() -> tuple[Run, ...]:
        return tuple((AREA.base_pfn + rng.randrange(64), rng.choice([0, 1, 16, 1 << 40]))
                     for _ in range(rng.randrange(3)))
    return dataclasses.replace(
        state(at_ns=now, allocated=runs(), extents=rng.choice([None, runs()])),
        defer_count=rng.choice([None, 0, 16, 1 << 60]), batch=rng.choice([None, 0, 128]),
        pages_succeeded=rng.choice([None, 0, 1 << 60]), at_rest=rng.random() < 0.8)


@pytest.mark.parametrize("seed", range(60))
def test_nonsense_never_ends_in_a_traceback(seed: int) -> None:
    rng = random.Random(seed)
    steps: list[Batch | Reading] = []
    for now in range(0, 8000, 1000):
        data = b"".join(_row(rng, now) for _ in range(rng.randrange(16)))
        steps.append(Batch(data, rng.choice([now, now + 1000, rng.getrandbits(64)])))
        steps.append(reading(now + 500, (samples.counts(), _state(rng, now))))
    observer = Observer(ListSource(*steps, areas=(AREA, samples.SECOND)),
                        Checker((AREA, samples.SECOND)))
    assert len(list(observer.steps())) == len(steps)
    assert report.draw_summary(report.summary(observer.view))
    assert report.draw_snapshot(report.snapshot(observer.view))
    assert metrics.exposition(observer.view)
    assert observer.view.records > observer.view.impossible
