# SPDX-License-Identifier: GPL-2.0
"""Who holds which pages: through overlaps, partial releases, losses and restarts of knowledge."""

from __future__ import annotations

import dataclasses

import pytest
from golden.samples import AREA, SECOND, ListSource, alloc, batch, counts, reading, release, state

from cmaobs import report
from cmaobs.events import KTHREAD, PROCESS, Path, Record
from cmaobs.observe import Observer
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading, Run
from cmaobs.view import View
from cmaobs.who import MISSED, Holders
from cmaobs.who.callers import Caller
from cmaobs.who.ledger import LISTED, SERIES, Counts, Ledger

BASE = AREA.base_pfn
STACK = {7: ("cma_alloc+0x0", "cma_heap_allocate+0x80", "dma_heap_ioctl+0x1", "do_syscall_64+0x3")}


def of(one: Record, comm: str, pid: int, kind: int = PROCESS, stack: int = 0) -> Record:
    """The record, made by another thread."""
    return one._replace(comm=comm.encode(), tgid=pid, tid=pid, flags=kind, stack=stack)


def rest(at_ns: int, *allocated: Run, losses: int = 0, at_rest: bool = True,
         facts: AreaFacts = AREA, **more: object) -> Reading:
    """A reading of one area in 10 ns."""
    read = dataclasses.replace(state(facts, at_ns, allocated), end_ns=at_ns + 10, at_rest=at_rest)
    return dataclasses.replace(reading(at_ns + 10, (counts(facts), read),
                                       losses={"ring_full": losses}), **more)


def follow(*steps: Batch | Reading, areas: tuple[AreaFacts, ...] = (AREA,)) -> View:
    """The view once an observer has had the steps."""
    observer = Observer(ListSource(*steps, areas=areas), follow=True)
    assert list(observer.steps()) == list(steps)
    return observer.view


def held(view: View, index: int = 0) -> list[tuple[int, int, str]]:
    """First page from the area's base, pages, and the caller's comm, or its kind without one."""
    assert view.holders is not None
    base = next(facts.base_pfn for facts in view.areas if facts.index == index)
    return [(piece.pfn - base, piece.pages, piece.caller.comm or piece.caller.kind)
            for piece in view.holders.pieces[index]]


def test_pages_are_whose_allocation_was_seen() -> None:
    view = follow(
        rest(100), batch(of(alloc(200, 300, BASE, 16, Path.CONTIG), "camera", 50),
                         of(alloc(400, 500, BASE + 16, 8), "kworker/0:1", 9, KTHREAD, stack=7),
                         of(alloc(600, 700, 0, 99999, Path.FAILED, ret=-12), "camera", 50)),
        rest(1000, (BASE, 24), stacks=STACK, stacks_failed=0))
    assert held(view) == [(0, 16, "camera"), (16, 8, "kworker/0:1")]
    assert view.holders is not None
    assert view.holders.exact == {0: True}
    assert view.holders.callers == {
        (0, Caller("process", "camera", 50, "unknown", 0)): Counts(1, 16, {"ENOMEM": 1}),
        (0, Caller("kthread", "kworker/0:1", 9, "dma-buf heap", 7)): Counts(1, 8)}


def test_a_release_may_be_of_a_part_and_by_somebody_else() -> None:
    view = follow(
        rest(100), batch(of(alloc(200, 300, BASE, 16), "camera", 50),
                         of(release(400, 500, BASE, 4), "reaper", 51),
                         of(release(600, 700, BASE + 8, 2), "reaper", 51)),
        rest(1000, (BASE + 4, 4), (BASE + 10, 6)))
    assert held(view) == [(4, 4, "camera"), (10, 6, "camera")]


def test_the_pages_change_hands_before_the_release_returns() -> None:
    """The next owner's allocation comes first in the stream: it returned first."""
    view = follow(
        rest(100), batch(of(alloc(200, 300, BASE, 16), "first", 50),
                         of(alloc(450, 600, BASE, 16), "second", 51),
                         of(release(400, 700, BASE, 16), "first", 50)),
        rest(1000, (BASE, 16)))
    assert held(view) == [(0, 16, "second")]


def test_what_has_not_all_arrived_waits() -> None:
    """An operation that is not at rest yet must not overtake what began before it."""
    early = (rest(100), batch(of(alloc(200, 300, BASE, 16), "first", 50),
                              of(alloc(450, 600, BASE, 16), "second", 51), watermark=400),
             rest(800, (BASE, 16), at_rest=False))
    assert held(follow(*early)) == [(0, 16, "first")]
    late = of(release(400, 900, BASE, 16), "first", 50)
    assert held(follow(*early, batch(late), rest(1000, (BASE, 16)))) == [(0, 16, "second")]


def test_what_was_there_before_is_said_to_be() -> None:
    view = follow(rest(100, (BASE, 32)), batch(
        of(release(200, 300, BASE, 8), "reaper", 51), of(alloc(400, 500, BASE, 4), "camera", 50)),
        rest(1000, (BASE, 4), (BASE + 8, 24)))
    assert held(view) == [(0, 4, "camera"), (8, 24, "before")]
    text = report.draw_summary(report.summary(view))
    assert "held         28 pages, 24 allocated before the observer came\n" in text


def test_an_allocation_that_a_first_reading_in_motion_came_across_is_its_callers() -> None:
    """It had returned when the bits were read, but what came before may still arrive."""
    view = follow(batch(of(alloc(200, 300, BASE, 16), "camera", 50), watermark=150),
                  rest(400, (BASE, 16), at_rest=False), rest(500, (BASE, 16)))
    assert held(view) == [(0, 16, "camera")]


def test_an_area_that_cannot_be_read_is_followed_all_the_same() -> None:
    read = rest(1000)
    broken = dataclasses.replace(read, states=(dataclasses.replace(
        read.states[0], fault="list changed while it was walked"),))
    view = follow(batch(of(alloc(200, 300, BASE, 16), "camera", 50), watermark=900), broken)
    assert held(view) == [(0, 16, "camera")]


def test_bits_of_a_first_reading_in_motion_are_corrected_later() -> None:
    view = follow(rest(100, (BASE, 32), at_rest=False), rest(200, (BASE, 16), at_rest=False))
    assert held(view) == [(0, 16, "before")]
    assert view.holders is not None
    assert view.holders.exact == {0: False}


def test_after_a_loss_the_next_reading_at_rest_sets_it_right() -> None:
    first = batch(of(alloc(200, 300, BASE, 16), "camera", 50),
                  of(alloc(310, 320, BASE + 16, 16), "codec", 51))
    lossy = follow(rest(100), first, rest(1000, (BASE + 16, 16), (BASE + 64, 8), losses=3))
    assert held(lossy) == [(16, 16, "codec"), (64, 8, "missed")]
    assert lossy.holders is not None
    codec, missed = lossy.holders.pieces[0]
    assert not lossy.holders.certain(codec)
    assert missed.caller is MISSED
    drawn = report.draw_summary(report.summary(lossy))
    assert ("held         24 pages, 16 since before records were lost: may have changed hands, "
            "8 whose allocation was not seen\n") in drawn
    later = follow(rest(100), first, rest(1000, (BASE + 16, 16), losses=3),
                   batch(of(alloc(2000, 2100, BASE, 4), "camera", 50)),
                   rest(3000, (BASE, 4), (BASE + 16, 16), losses=3))
    assert later.holders is not None
    assert [later.holders.certain(piece) for piece in later.holders.pieces[0]] == [True, False]


def test_bits_stand_for_several_pages() -> None:
    base = SECOND.base_pfn
    steps = (rest(100, facts=SECOND), batch(
        of(alloc(200, 300, base + 8, 3, area=1), "camera", 50),
        of(alloc(310, 320, base + 16, 8, area=1), "codec", 51),
        of(release(400, 500, base + 16, 5, area=1), "codec", 51)),
        rest(1000, (base + 8, 4), facts=SECOND))
    assert held(follow(*steps, areas=(AREA, SECOND)), 1) == [(8, 4, "camera")]


@pytest.mark.parametrize("odd", [
    alloc(200, 300, BASE + AREA.count, 4), alloc(200, 300, BASE, 0), alloc(200, 300, 5, 4),
    release(200, 300, BASE, 0), alloc(200, 300, BASE, 4, area=77),
    release(200, 300, BASE, 8, Path.REJECTED)])
def test_what_cannot_be_changes_nothing(odd: Record) -> None:
    view = follow(rest(100, (BASE, 8)), batch(odd), rest(1000, (BASE, 8)))
    assert held(view) == [(0, 8, "before")]


def test_without_page_numbers_callers_are_counted_and_pages_are_not_theirs() -> None:
    view = follow(rest(100), batch(of(alloc(200, 300, 0, 16, Path.CONTIG), "camera", 50)),
                  rest(1000, (BASE, 16)))
    assert held(view) == [(0, 16, "missed")]
    assert view.holders is not None
    assert list(view.holders.callers.values()) == [Counts(1, 16)]


def test_a_source_that_ends_shows_what_came_last() -> None:
    view = follow(rest(100), batch(of(alloc(200, 300, BASE, 16), "camera", 50), watermark=300))
    assert held(view) == []  # the watermark has not passed its end
    view = follow(rest(100), batch(of(alloc(200, 300, BASE, 16), "camera", 50), watermark=301))
    assert held(view) == [(0, 16, "camera")]


def test_the_report_has_every_run_and_stack() -> None:
    view = follow(
        rest(1_000), batch(of(alloc(2_000, 3_000, BASE, 16), "camera", 50, stack=7),
                           of(alloc(4_000, 5_000, BASE + 16, 2), "camera", 50),
                           of(alloc(6_000, 7_000, BASE + 18, 64), "codec", 51, stack=7)),
        rest(2_000_003_000, (BASE, 82), stacks=STACK, stacks_failed=1))
    holders = report.summary(view)["areas"][0]["holders"]
    assert holders["pages"] == {"seen": 82, "uncertain": 0, "before": 0, "missed": 0}
    assert [(one["comm"], one["held_pages"], one["driver"]) for one in holders["callers"]] == [
        ("codec", 64, "dma-buf heap"), ("camera", 16, "dma-buf heap"), ("camera", 2, "unknown")]
    assert holders["callers"][0]["stack"] == (
        "do_syscall_64;dma_heap_ioctl;cma_heap_allocate;cma_alloc")
    assert [(run[0] - BASE, run[1], run[3]) for run in holders["runs"]] == [
        (0, 16, 1), (16, 2, 2), (18, 64, 0)]
    assert holders["callers"][1]["oldest_s"] == pytest.approx(2, abs=1e-4)
    drawn = report.draw_summary(report.summary(view))
    assert "      64      1     2.0 s        1       0  codec[51], dma-buf heap\n" in drawn


def test_ages() -> None:
    from cmaobs.report.who import age
    assert [age(s) for s in (0, 59.94, 60, 5400, 90000)] == [
        "0.0 s", "59.9 s", "1.0 min", "1.5 h", "1.0 d"]


def test_callers_without_number_are_counted_in_bounded_memory() -> None:
    ledger = Ledger()
    for pid in range(LISTED + 500):
        caller = Caller("process", f"job-{pid}", pid, "unknown", 0)
        ledger.add(0, caller, Counts(1, 4, {"EBUSY": 1}))
    assert len(ledger.callers) == LISTED
    assert ledger.forgotten[0] == Counts(500, 2000, {"EBUSY": 500})
    assert len(ledger.series) == SERIES + 1
    assert sum(one.pages for one in ledger.series.values()) == (LISTED + 500) * 4


def test_followed_or_not() -> None:
    assert Observer(ListSource()).view.holders is None
    assert Observer(ListSource(), follow=True).view.holders is None
    assert isinstance(follow(rest(100)).holders, Holders)
