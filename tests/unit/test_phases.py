# SPDX-License-Identifier: GPL-2.0
"""Phases of allocations: split from records, kept in recordings, and told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from golden import samples
from golden.captures import facts
from golden.samples import ListSource, alloc, batch, counts, latency, reading, state

from cmaobs import metrics, report
from cmaobs.errors import CorruptError
from cmaobs.events import RECORD
from cmaobs.kernel import findings, plan
from cmaobs.observe import Observer
from cmaobs.phases import KIND, NAMES, PHASED, Phased, decode, split
from cmaobs.recording import RecordingSource, RecordingWriter, framing
from cmaobs.source import Batch
from cmaobs.state import Reading
from cmaobs.view import View

TIMES = {"waiting_ns": 500, "isolating_ns": 2000, "draining_ns": 30_000, "migrating_ns": 7000}
WHOLE = 40_000


def phased(start: int, whole: int = WHOLE, **values: int) -> Phased:
    fields = dict.fromkeys(Phased._fields, 0) | TIMES | {
        "start_ns": start, "end_ns": start + whole, "op_ns": start, "kind": KIND, "tgid": 7,
        "tid": 7, "isolated": 9, "migrated": 5, "failed": 6, "reclaimed": 3} | values
    return Phased(**{**fields, "comm": b"camera".ljust(16, b"\0")})  # type: ignore[arg-type]


def packed(*ones: Phased) -> bytes:
    return b"".join(PHASED.pack(*one) for one in ones)


ONE, TWO = phased(1000), phased(90_000, 80_000)


def test_phases_add_up() -> None:
    assert ONE.phases == {"waiting": 500, "isolating": 2000, "draining": 30_000,
                          "migrating": 7000, "unexplained": 500}
    assert sum(ONE.phases.values()) == ONE.whole_ns == WHOLE
    assert list(decode(packed(ONE, TWO))) == [ONE, TWO]


def test_they_are_split_from_records_in_order() -> None:
    first, second = alloc(1000, 41_000, 0x40000, 4), alloc(90_000, 170_000, 0x40004, 4)
    data = b"".join((RECORD.pack(*first), packed(ONE), RECORD.pack(*second), packed(TWO)))
    assert split(data) == (batch(first, second).data, packed(ONE, TWO))
    assert split(batch(first).data) == (batch(first).data, b"")
    assert split(b"") == (b"", b"")


@pytest.mark.parametrize("nonsense", [
    phased(1000, migrating_ns=WHOLE), phased(1000, kind=1), phased(1000, -1)])
def test_what_cannot_be_is_left_out(nonsense: Phased) -> None:
    assert list(decode(packed(nonsense))) == []


def seen(*steps: Batch | Reading) -> View:
    observer = Observer(ListSource(*steps))
    assert len(list(observer.steps())) == len(steps)
    return observer.view


def read(at_ns: int) -> Reading:
    found = {"waiting": latency(500), "draining": latency(30_000, 30_000),
             "unexplained": latency(500)}
    counted = dataclasses.replace(
        counts(), phases={name: found.get(name, latency()) for name in NAMES},
        moved={"isolated": 18, "migrated": 10, "failed": 12, "reclaimed": 6, "missed": 0})
    return reading(at_ns, (counted, state()))


STEPS = (read(500), Batch(b"", 200_000, packed(ONE, TWO)), read(300_000))


def test_they_are_told() -> None:
    view = seen(*STEPS)
    assert view.slowest == {0: (TWO, ONE)}
    text = report.draw_summary(report.summary(view))
    assert "    waiting                       1      500 ns" in text
    assert "    draining                      2       30 us" in text
    assert " 98.4%\n" in text
    assert "    pages: 18 isolated, 10 migrated, 12 failed, 6 reclaimed\n" in text
    assert ("    slowest: 80 us, camera[7]: unexplained 40.5 us, draining 30 us, migrating 7 us, "
            "isolating 2 us, waiting 500 ns\n") in text
    assert "isolating  " not in text, "no allocation had it"
    values = {(name, labels): value for name, labels, value in metrics.samples(view)}
    assert values["cma_alloc_moved_pages_total", ("reserved", "migrated")] == 10
    assert values["cma_alloc_phase_duration_seconds", ("reserved", "draining")] == latency(
        30_000, 30_000)


def test_without_them_nothing_is_told() -> None:
    view = samples.plain_view()
    assert "phases" not in report.draw_summary(report.summary(view))
    assert not [name for name, _, _ in metrics.samples(view) if "phase" in name or "moved" in name]


def test_a_recording_keeps_them(tmp_path: Path) -> None:
    with RecordingWriter(str(tmp_path / "a"), {}, (samples.AREA,)) as writer:
        for step in STEPS:
            writer.add(step)
    source = RecordingSource(str(tmp_path / "a"))
    observer = Observer(source)
    assert list(observer.steps())
    assert not source.warnings
    live = seen(*STEPS)
    assert observer.view.slowest == live.slowest
    assert observer.view.reading == live.reading


def test_an_older_recording_has_the_name_of_today() -> None:
    """It was made when what is unexplained was called the rest."""
    path = Path(__file__).parents[2] / "docs/tutorial/failing.cmarec"
    last = [step for step in RecordingSource(str(path)).steps() if isinstance(step, Reading)][-1]
    assert all(tuple(one.phases) == NAMES for one in last.counts)
    assert last.counts[0].phases["unexplained"].count > 0


def test_half_a_struct_is_damage(tmp_path: Path) -> None:
    with RecordingWriter(str(tmp_path / "a"), {}, (samples.AREA,)) as writer:
        writer.add(read(500))
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data + framing.pack_chunk(framing.PHASED, b"x" * 5))
    head = data[:data.rindex(b"END ")]
    (tmp_path / "a").write_bytes(head + framing.pack_chunk(framing.PHASED, b"x" * 5))
    with pytest.raises(CorruptError, match="not whole structs"):
        list(RecordingSource(str(tmp_path / "a")).steps())


@pytest.mark.parametrize(("name", "phases"), [
    ("5.10.0-32-arm64", "isolating draining reclaiming testing"),
    ("5.15.100-derived", "isolating draining reclaiming migrating testing"),
    ("6.1.0-56-arm64", "isolating draining reclaiming migrating testing"),  # cma_mutex is hidden
    ("6.1.192", "waiting isolating draining reclaiming migrating testing"),
    ("6.12.117+deb12-arm64", "waiting isolating draining reclaiming migrating testing"),
    ("7.1.13+deb13-arm64", "waiting isolating draining reclaiming migrating testing")])
def test_which_can_be_seen(name: str, phases: str) -> None:
    assert findings.phases(facts(name)) == phases.split()


def test_the_plan_has_them_only_where_they_are_asked_for() -> None:
    one = facts("6.1.192-patched")
    without, made = plan.make(one), plan.make(one, phases=True)
    assert without.phases == {}
    assert set(without.tracepoints) == {"busy_page", "release_event"}
    assert "WITH_PHASES" not in without.defines
    assert made.functions == without.functions
    assert made.phases["drain_lru"] == "lru_cache_disable"
    assert (made.defines["DRAIN_LRU_FN"], made.defines["RECLAIM_NARGS"]) == ("lru_cache_disable", 2)
    assert made.tracepoints["isolated"] == "mm_compaction_isolate_migratepages"
    assert made.tracepoints["wait_begin"] == "contention_begin"
    assert "CMA_MUTEX" not in made.defines
    last = facts("7.1.13+deb13-arm64", headers="/x")
    assert plan.make(last, phases=True).defines["CMA_MUTEX"] == \
        last.structs["cma"]["alloc_mutex"]
