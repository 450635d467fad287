# SPDX-License-Identifier: GPL-2.0
"""The demand at other times: what may change, and what may not."""

from __future__ import annotations

import dataclasses
from collections import Counter

from golden import demands
from golden.samples import AREA

from cmaobs.lane import library
from cmaobs.whatif.demand import ASK, BEFORE, GIVE, REACH, Demand, Event
from cmaobs.whatif.varied import busy, events_of, varies


def test_one_thread_without_reclaim_leaves_nothing_to_chance() -> None:
    demand = demands.demo()
    assert varies(demand)
    alone = dataclasses.replace(demand, threads=1)
    assert not varies(alone)
    assert list(events_of(alone, 0)) == list(demand.events)
    assert varies(dataclasses.replace(alone, busy=1))


def test_each_thread_is_shifted_as_a_whole_and_releases_come_after_their_allocation() -> None:
    demand = demands.demo()
    made = list(events_of(demand, 3))
    assert made != list(demand.events)
    assert [event.time_ns for event in made] == sorted(event.time_ns for event in made)
    was = {event.ask: event.time_ns for event in demand.events if event.kind == ASK}
    tids = {event.ask: tid for event, tid in zip(demand.events, demand.events.tids, strict=True)
            if event.kind == ASK}
    shifts = {(tids[event.ask], event.time_ns - was[event.ask])
              for event in made if event.kind == ASK}
    assert len(shifts) == demand.threads == 2
    asked: set[int] = {BEFORE}
    for event in made:
        if event.kind == ASK:
            asked.add(event.ask)
        elif event.kind == GIVE:
            assert event.ask in asked


APART_NS = 20_000_000


def reclaimed(bursts: int) -> Demand:
    """Reclaim asks thrice, a millisecond after each other, and again 20 ms later."""
    demand = Demand(AREA, "test", True, end_ns=bursts * APART_NS, threads=1)
    for number in range(bursts):
        for one in range(3):
            demand.events.add(Event(number * APART_NS + one * 1_000_000, REACH, 0, 0, 0), 1)
    return demand


def test_reclaim_comes_by_as_often_on_average() -> None:
    demand = reclaimed(300)
    assert varies(demand)
    counts = [len(list(events_of(demand, chance))) for chance in range(1, 200)]
    assert max(counts) > 2 * min(counts)
    assert 800 < sum(counts) / len(counts) < 1000


def test_what_reclaim_asks_in_a_burst_stays_together() -> None:
    """And comes at another time, up to as long before or after as bursts are apart."""
    demand = reclaimed(1)
    places = set()
    for chance in range(1, 40):
        times = [event.time_ns for event in events_of(demand, chance)]
        assert len(times) % 3 == 0
        if len(times) == 3:
            first = times[0]
            assert times == [first, first + 1_000_000, first + 2_000_000]
            assert -APART_NS <= first <= APART_NS
            places.add(first // 5_000_000)
    assert len(places) > 4


def test_busy_is_as_frequent_as_recorded_and_the_same_in_the_lane() -> None:
    demand = Demand(AREA, "test", True, contig=100, busy=7)
    drawn = [busy(5, ask, tried, demand) for ask in range(3000) for tried in range(2)]
    assert 0.06 < sum(drawn) / len(drawn) < 0.08
    _, lane, why = library.load()
    assert not why
    assert drawn == [bool(lane.lane_busy(5, ask, tried, 100, 7))
                     for ask in range(3000) for tried in range(2)]
    assert not any(busy(0, ask, 0, demand) for ask in range(100))


def test_a_seed_gives_the_same_again() -> None:
    demand = demands.demo()
    assert list(events_of(demand, 2)) == list(events_of(demand, 2))
    assert Counter(events_of(demand, 2)) != Counter(events_of(demand, 3))
