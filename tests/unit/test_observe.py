# SPDX-License-Identifier: GPL-2.0
"""The observer: what it hands on, in which order, and what it counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path as File

import pytest
from golden import samples
from golden.samples import ListSource, alloc, batch, contig, counts, reading, release, state

from cmaobs.errors import KernelReadError
from cmaobs.events import SHRINK_STOP, Kind, Operation, Path
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource, RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import AreaCounts, AreaState, Reading, Withheld
from cmaobs.tally import Tally
from cmaobs.verdict import Outcome, Verdict
from cmaobs.view import Tallied


class Notes:
    """A cross-check that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def feed(self, _data: bytes) -> bool:
        return False

    def calls(self) -> bytes:
        return b""

    def counts(self, _area: int) -> dict[str, int]:
        return {}

    def push(self, operation: Operation) -> None:
        self.told.append(("push", operation.record.start_ns))

    def advance(self, watermark_ns: int) -> None:
        self.told.append(("advance", watermark_ns))

    def observe(self, state: AreaState) -> None:
        self.told.append(("observe", state.start_ns))

    def gap(self, reason: str, at_ns: int, area: int | None = None) -> None:
        self.told.append((f"gap {reason}", at_ns))

    def end(self) -> None:
        self.told.append(("end", 0))

    def verdict(self) -> Verdict:
        return Verdict(Outcome.AGREE, (), (), {}, ())


def _run(*steps: Batch | Reading) -> tuple[Observer, Notes]:
    notes = Notes()
    observer = Observer(ListSource(*steps), notes)
    assert list(observer.steps()) == list(steps)
    return observer, notes


A1 = alloc(1000, 2000, 0x40000, 8, Path.CONTIG, n_contig=1)
C1 = contig(1100, 1900, 1000, 0x40000, 8)
R1 = release(3000, 3500, 0x40000, 8)
A2 = alloc(5000, 5500, 0x40000, 8)
AFTER_TWO = counts(allocs_contig=1, alloc_pages_contig=8, contig_ok=1, releases_deferred=1,
                   release_pages_deferred=8)
AFTER_THREE = counts(allocs_contig=1, alloc_pages_contig=8, contig_ok=1, releases_deferred=1,
                     release_pages_deferred=8, allocs_hit=1, alloc_pages_hit=8)


def test_operations_are_judged_at_the_reading_that_vouches_for_them() -> None:
    observer, notes = _run(
        reading(500, (counts(), state(at_ns=400))), batch(C1, A1, watermark=2500),
        batch(R1, watermark=4000), reading(4500, (AFTER_TWO, state(at_ns=4400))))
    assert notes.told == [
        ("advance", 0), ("observe", 400), ("push", 1000), ("push", 3000), ("advance", 4000),
        ("observe", 4400), ("advance", 4000), ("end", 0)]
    assert observer.view.records == 3
    assert observer.view.unjudged == 0
    assert observer.view.readings == 2


def test_a_loss_is_told_before_what_it_may_explain() -> None:
    """Between A1 and A2 the release was lost: told in another order, A2 would look like R12."""
    _, notes = _run(
        reading(500, (counts(), state(at_ns=400))), batch(C1, A1, A2),
        reading(6000, (AFTER_THREE, state(at_ns=5900)), losses={"ring_full": 1}))
    gap = notes.told.index(("gap lost: ring_full 1", 6000))
    assert gap < notes.told.index(("push", 1000)) < notes.told.index(("push", 5000))


def test_a_loss_is_told_once() -> None:
    _, notes = _run(reading(1, losses={"ring_full": 2}), reading(2, losses={"ring_full": 2}),
                    reading(3, losses={"ring_full": 3, "orphan_returns": 1}))
    assert [told for told in notes.told if told[0].startswith("gap")] == [
        ("gap lost: ring_full 2", 1), ("gap lost: ring_full 1, orphan_returns 1", 3)]


def test_while_records_are_withheld_there_is_no_verdict() -> None:
    """Although the area is at rest at each reading; afterwards there is one again."""
    def at(time_ns: int, withheld: int, **now: bool) -> Reading:
        return dataclasses.replace(
            reading(time_ns, (counts(), state(at_ns=time_ns - 10)), losses={"withheld": withheld}),
            withheld={name: Withheld(is_now, withheld) for name, is_now in now.items()})

    told = []
    observer = Observer(ListSource(
        at(500, 0, phases=False, records=False), at(1000, 0, phases=True, records=False),
        at(1500, 7, phases=True, records=True), at(2000, 7, phases=True, records=True),
        at(2500, 9, phases=True, records=False)), Notes())
    for _ in observer.steps():
        verdict = observer.view.verdict
        assert verdict is not None
        told.append((verdict.outcome, [reason.partition(":")[0] for reason in verdict.reasons]))
    assert told == [(Outcome.AGREE, []), (Outcome.AGREE, []),
                    (Outcome.UNKNOWN, ["records are withheld"]),
                    (Outcome.UNKNOWN, ["records are withheld"]), (Outcome.AGREE, [])]


def test_where_scans_have_no_probe_nothing_holds_from_one_reading_to_the_next() -> None:
    off = dataclasses.replace(state(at_ns=400), batch=0, defer_count=0)
    on = state(at_ns=900)
    scans = "gap this kernel's scans have no probe"
    change = "gap batch was changed, which has no probe"
    for said, told in (("scan", [(scans, 1000), (scans, 1500), (scans, 2000)]),
                       ("batch", [(change, 1000), (change, 1500)]), ("", [])):
        notes = Notes()
        source = ListSource(reading(500, (counts(), off)), reading(1000, (counts(), on)),
                            reading(1500, (counts(), off)), reading(2000, (counts(), off)),
                            identity={"unseen": said})
        list(Observer(source, notes).steps())
        assert [one for one in notes.told if one[0].startswith("gap")] == told


def test_records_behind_the_last_reading_are_not_judged() -> None:
    observer, notes = _run(reading(500), batch(R1))
    assert ("push", 3000) not in notes.told
    assert observer.view.unjudged == 1
    assert observer.view.records == 1


def test_a_watermark_behind_the_last_reading_counts() -> None:
    _, notes = _run(reading(500), batch(watermark=700))
    assert notes.told[-2:] == [("advance", 700), ("end", 0)]


def test_a_faulted_state_is_counted() -> None:
    observer, _ = _run(reading(500, (counts(), state(at_ns=400, fault="torn"))))
    assert observer.view.faulted == {"reserved": 1}


class Endless(ListSource):
    """A live source: goes on until it is left, then has a last word."""

    def steps(self) -> Iterator[Batch | Reading]:
        while True:
            yield batch(watermark=1)

    def finish(self) -> Iterator[Batch | Reading]:
        yield reading(9)


def test_enough_ends_a_live_source_with_its_last_word() -> None:
    observer = Observer(Endless(), Notes())
    seen = 0

    def enough() -> bool:
        return seen == 3

    for _ in observer.steps(enough):
        seen += 1
    assert seen == 4 or seen == 5
    assert observer.view.reading == reading(9)


class Failing(ListSource):
    """A source that ends badly."""

    def steps(self) -> Iterator[Batch | Reading]:
        yield reading(5)
        raise KernelReadError("the ring is gone", "start again")


def test_a_failure_is_in_the_view_and_passed_on() -> None:
    observer = Observer(Failing(), Notes())
    with pytest.raises(KernelReadError):
        list(observer.steps())
    assert observer.view.failure == "the ring is gone"
    assert observer.view.reading == reading(5)


def test_live_and_replay_tell_the_cross_check_the_same(tmp_path: File) -> None:
    path = str(tmp_path / "a")
    steps = (reading(500, (counts(), state(at_ns=400))), batch(C1, A1, watermark=2500),
             batch(watermark=2600), batch(R1, watermark=4000),
             reading(4500, (AFTER_TWO, state(at_ns=4400))), batch(watermark=9000))
    live = Notes()
    with RecordingWriter(path, samples.IDENTITY, (samples.AREA,)) as writer:
        observer = Observer(ListSource(*steps), live, writer)
        list(observer.steps())
    again = Notes()
    source = RecordingSource(path)
    replayed = Observer(source, again)
    list(replayed.steps())
    source.close()
    assert again.told == live.told
    assert replayed.view == observer.view


def test_counts_and_records_that_agree() -> None:
    observer, _ = _run(
        reading(500, (counts(), state())), batch(C1, A1, R1, watermark=4000),
        reading(4500, (AFTER_TWO, state())), batch(watermark=4600), batch(A2, watermark=6000),
        reading(6500, (AFTER_THREE, state())), batch(watermark=7000))
    assert observer.view.tallied == Tallied(3, 2)
    assert observer.view.verdict is not None
    assert observer.view.verdict.outcome is Outcome.AGREE


def test_an_operation_between_counts_and_drain_is_no_mismatch() -> None:
    """The source reads counts, then drains: A2 ended in between, so its record is early."""
    observer, _ = _run(
        reading(500, (counts(), state())), batch(C1, A1, R1, A2, watermark=4000),
        reading(5600, (AFTER_TWO, state())), batch(watermark=6000),
        reading(6500, (AFTER_THREE, state())), batch(watermark=7000))
    assert observer.view.tallied.mismatched == 0


@pytest.mark.parametrize(("kernel", "phrase"), [
    (AFTER_THREE, "fewer records than counts: allocs_hit 0 in records, 1 in the kernel"),
    (counts(), "more records than counts: allocs_contig 1 in records, 0 in the kernel"),
])
def test_counts_and_records_that_differ_make_the_verdict_unknown(
        kernel: AreaCounts, phrase: str) -> None:
    observer, _ = _run(
        reading(500, (counts(), state())), batch(C1, A1, R1, watermark=4000),
        reading(4500, (AFTER_TWO, state())), batch(watermark=4600),
        reading(5500, (kernel, state())), batch(watermark=6000), reading(6500),
        batch(watermark=7000))
    assert observer.view.tallied.mismatched == 1
    assert phrase in observer.view.tallied.mismatches[0]
    assert observer.view.verdict is not None
    assert observer.view.verdict.outcome is Outcome.UNKNOWN
    assert phrase in observer.view.verdict.reasons[0]


def test_after_a_loss_counts_and_records_are_not_compared() -> None:
    observer, _ = _run(reading(500, (counts(), state()), losses={"ring_full": 1}),
                       reading(4500, (AFTER_TWO, state())), batch(watermark=4600))
    assert observer.view.tallied == Tallied()


def test_every_counter_of_the_wire_is_tallied() -> None:
    """Each member once, at the value that the records make."""
    failed = [alloc(1, 2, 0, 7, Path.FAILED, ret=ret) for ret in (-12, -16, -4, -5)]
    flushed = alloc(1, 2, 0, 5, Path.CONTIG, n_contig=3, n_free=2, free_pages=11)
    contigs = [contig(1, 2, 1, 0, 5, ret) for ret in (0, -16, -5)]
    scans = [samples.record(Kind.SCAN, 1, 2, count=64, ret=SHRINK_STOP),
             samples.record(Kind.SCAN, 1, 2, count=128, ret=100, free_pages=99)]
    releases = [release(1, 2, 0, 3), release(1, 2, 0, 4, Path.DIRECT),
                release(1, 2, 0, 5, Path.REJECTED)]
    rest = [alloc(1, 2, 0, 9), samples.record(Kind.COUNT, 1, 2),
            samples.record(Kind.BATCH, 1, 2, free_pages=6)]
    records = [*failed, flushed, *contigs, *scans, *releases, *rest]
    expected = {
        "allocs_hit": 1, "allocs_contig": 1, "allocs_enomem": 1, "allocs_ebusy": 1,
        "allocs_eintr": 1, "allocs_other": 1, "alloc_pages_hit": 9, "alloc_pages_contig": 5,
        "alloc_pages_failed": 28, "contig_ok": 1, "contig_ebusy": 1, "contig_error": 1,
        "flushes": 1, "flushed_extents": 2, "flushed_pages": 11, "releases_deferred": 1,
        "releases_direct": 1, "releases_rejected": 1, "release_pages_deferred": 3,
        "release_pages_direct": 4, "scans": 2, "scans_stopped": 1, "scan_pages_asked": 192,
        "scan_pages_returned": 100, "scan_pages_freed": 99, "counts": 1, "batch_writes": 1,
        "batch_pages_freed": 6, "allocs_retried": 1, "alloc_retries": 2}
    assert set(expected) == set(samples.COUNTERS)
    tally = Tally()
    tally.read(reading(0, (counts(), state())))
    tally.add(records)
    tally.read(reading(10, (dataclasses.replace(counts(), counters=expected), state(at_ns=10))))
    tally.arrived(2000)
    assert tally.result == Tallied(2, 1)


def test_records_of_no_area_or_of_no_known_kind_are_no_trouble() -> None:
    odd = A2._replace(area=0xFFFF), A2._replace(kind=99), R1._replace(path=77)
    observer, _ = _run(reading(500), batch(*odd), reading(9000))
    assert observer.view.records == 3
