# SPDX-License-Identifier: GPL-2.0
"""Of several threads a miss gives back what is deferred when it has cma_mutex, not before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from golden.samples import AREA

from cmaobs.events import Path
from cmaobs.whatif import fast
from cmaobs.whatif.demand import ASK, BEFORE, GIVE, Demand, Event
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules, named

MS = 1_000_000
BASE = AREA.base_pfn
Run = Callable[[Demand, Rules, int, int], Result]
RUNS = [lambda *given: Replay(*given).run(), fast.run]
BY = pytest.mark.parametrize("run", RUNS, ids=["model", "lane"])


def crossing(threads: int = 2, gives: int = 20) -> Demand:
    """One is served for 10 ms, and 1 ms after it came another one comes. Then 16 pages are given
    back at 5 ms, and wanted again at 12 ms. gives: when what the second got is given back, in ms.
    """
    demand = Demand(AREA, "crossing", True, start_ns=0, end_ns=40 * MS, threads=threads,
                    reserved=((BASE, 16),))
    for at, pages in ((0, 64), (1, 64), (12, 16)):
        ask = demand.asks.add(pages, Path.CONTIG, 10 * MS, BASE + 1024 * (at + 1),
                              alone_ns=10 * MS)
        demand.events.add(Event(at * MS, ASK, ask, pages, 0), at)
        if at == 1:
            demand.events.add(Event(5 * MS, GIVE, BEFORE, BASE, 16), 3)
            if gives < 12:
                demand.events.add(Event(gives * MS, GIVE, ask, 0, pages), 1)
    if gives >= 12:
        demand.events.add(Event(gives * MS, GIVE, 1, 0, 64), 1)
    return demand


@BY
def test_what_is_given_back_while_one_waits_is_flushed_as_well(run: Run) -> None:
    result = run(crossing(), named("rfc"), 1, 0)
    assert list(result.paths) == [Path.CONTIG] * 3
    assert (list(result.flushed), list(result.extents)) == ([0, 16, 0], [0, 1, 0])
    assert result.withheld.peak == 64


@BY
def test_one_thread_waits_for_nobody(run: Run) -> None:
    result = run(crossing(threads=1), named("rfc"), 1, 0)
    assert list(result.paths) == [Path.CONTIG, Path.CONTIG, Path.HIT]
    assert not sum(result.flushed)


@BY
def test_what_does_not_overlap_stays_under_flush_overlap(run: Run) -> None:
    result = run(crossing(), named("flush-overlap"), 1, 0)
    assert list(result.paths) == [Path.CONTIG, Path.CONTIG, Path.HIT]


@BY
def test_who_gives_back_has_been_served(run: Run) -> None:
    """Its pages come 8 ms after it, before it would have had the mutex."""
    result = run(crossing(gives=8), named("rfc"), 1, 0)
    assert list(result.flushed) == [0, 16, 64]
    assert (result.deferred, result.unreleased) == (2, 0)


@BY
def test_who_has_no_time_of_its_own_takes_the_usual_one(run: Run) -> None:
    demand = crossing()
    demand.asks.paths[0] = Path.HIT  # it did not need the mutex then
    demand.asks.alone[0] = 0
    assert run(demand, named("rfc"), 1, 0).flushed[1] == 16
    demand.asks.alone[1] = demand.asks.alone[2] = 3 * MS  # it is over before 16 pages come
    assert run(demand, named("rfc"), 1, 0).flushed[1] == 0


@BY
def test_times_at_the_end_of_all_time(run: Run) -> None:
    demand = crossing()
    for ask in range(3):
        demand.asks.alone[ask] = (1 << 63) - 1
    result = run(demand, named("rfc"), 1, 0)
    assert list(result.paths) == [Path.CONTIG] * 2 + [Path.HIT]
