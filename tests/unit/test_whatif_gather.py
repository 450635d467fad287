# SPDX-License-Identifier: GPL-2.0
"""Demand from recordings: whole ones, and such as lost records, stopped clocks or a past."""

from __future__ import annotations

import dataclasses

from golden import demands, histories, samples
from golden.samples import AREA, alloc, batch, contig, counts, reading, release, state

from cmaobs.events import Kind, Path
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading
from cmaobs.whatif.demand import ASK, BEFORE, GIVE, REACH, SCAN, Demand, Event
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.rules import named

BASE = AREA.base_pfn
LATE = 10 ** 6


def gathered(*steps: Batch | Reading, areas: tuple[AreaFacts, ...] = (AREA,)
             ) -> tuple[list[Demand], dict[str, int]]:
    found, left_out = demands.gathered(steps, areas, samples.IDENTITY)
    for demand in found:
        left_out = {**left_out, **demand.left_out}
    return found, dict(left_out)


def at_rest(at_ns: int, *allocated: tuple[int, int], **values: object) -> Reading:
    return reading(at_ns, (counts(), state(AREA, at_ns, allocated, **values)))  # type: ignore[arg-type]


def test_the_demo_is_reproduced_to_the_page() -> None:
    demand = demands.demo()
    result = Replay(demand, named("rfc")).run()
    assert len(demand.asks) == 1012
    assert demand.asks.paths.count(Path.HIT) == 471
    assert bytes(result.paths) == bytes(demand.asks.paths)
    assert result.pfns == demand.asks.pfns
    assert not demand.left_out


def test_who_asked_for_how_much_when_and_how_long_it_was_held() -> None:
    (demand,), left_out = gathered(
        at_rest(100), batch(contig(1500, 2900, 1000, BASE, 16),
                            alloc(1000, 3000, BASE, 16, Path.CONTIG, n_contig=1, align=4)),
        batch(release(9000, 9100, BASE, 16)), batch(watermark=LATE), at_rest(LATE))
    assert list(demand.events) == [Event(1000, ASK, 0, 16, 4), Event(9000, GIVE, 0, 0, 16)]
    assert list(demand.asks.durations) == [2000]
    assert (demand.contig, demand.busy, demand.threads, demand.patched) == (1, 0, 1, True)
    assert not left_out


def test_parts_are_given_back_in_parts() -> None:
    (demand,), _ = gathered(at_rest(100), batch(
        alloc(1000, 1100, BASE, 16), release(2000, 2100, BASE + 4, 4),
        release(3000, 3100, BASE, 4), release(4000, 4100, BASE + 8, 8)), batch(watermark=LATE))
    assert [(e.a, e.b) for e in demand.events if e.kind == GIVE] == [(4, 4), (0, 4), (8, 8)]


def test_what_was_allocated_before_is_given_back_where_it_is() -> None:
    (demand,), left_out = gathered(at_rest(100, (BASE + 64, 32)),
                                   batch(release(2000, 2100, BASE + 64, 32)),
                                   batch(watermark=LATE))
    assert list(demand.events) == [Event(2000, GIVE, BEFORE, BASE + 64, 32)]
    assert demand.reserved == ((BASE + 64, 32),)
    assert not left_out


def test_scans_of_reclaim_are_told_from_those_by_hand() -> None:
    counted = samples.record(Kind.COUNT, 2000, 2010, ret=64)
    (demand,), _ = gathered(at_rest(100), batch(
        samples.record(Kind.SCAN, 1000, 1010, count=24), counted,
        samples.record(Kind.SCAN, 2020, 2030, count=64),
        samples.record(Kind.SCAN, 3000, 3010, count=32, tid=7)), batch(watermark=LATE))
    assert [(e.kind, e.a) for e in demand.events] == [(SCAN, 24), (REACH, 0), (SCAN, 32)]


def test_a_lost_release_is_made_up_for_where_it_shows() -> None:
    (demand,), left_out = gathered(*histories.lossy())
    assert left_out == {"records lost by the observer (ring_full)": 1,
                        "releases that were not seen, noticed when their pages were granted again":
                        1}
    assert [e.kind for e in demand.events].count(GIVE) == demand.asks.paths.count(Path.HIT) + 1


def test_a_reading_at_rest_closes_gaps() -> None:
    (demand,), left_out = gathered(
        at_rest(100), batch(alloc(1000, 1100, BASE, 16)), batch(watermark=5000),
        at_rest(5000, (BASE + 32, 8)), batch(release(6000, 6100, BASE + 32, 8)),
        batch(watermark=LATE))
    assert left_out == {"releases that were not seen, noticed at rest": 1,
                        "allocations that were not seen, noticed at rest": 1}
    assert [e.kind for e in demand.events] == [ASK, GIVE, ASK, GIVE]
    assert demand.counted == 1


def test_a_reading_in_flight_closes_nothing() -> None:
    torn = at_rest(5000)
    torn = dataclasses.replace(torn, states=tuple(
        dataclasses.replace(one, at_rest=False) for one in torn.states))
    _, left_out = gathered(at_rest(100), batch(alloc(1000, 1100, BASE, 16)), torn,
                           batch(watermark=LATE))
    assert not left_out


def test_jumps_of_clocks_are_told() -> None:
    held = BASE, 16
    jumped = dataclasses.replace(at_rest(3000, held), wall_s=at_rest(3000).wall_s + 3600)
    back = dataclasses.replace(at_rest(2000, held), wall_s=jumped.wall_s)
    _, left_out = gathered(at_rest(100), batch(alloc(1000, 1100, BASE, 16)), jumped, back)
    assert left_out == {
        "jumps of the time of day, or suspends; the time in between is not part of the demand": 1,
        "readings whose clock stood before that of the reading before": 1}


def test_what_cannot_be_is_left_out() -> None:
    _, left_out = gathered(at_rest(100), batch(
        alloc(1000, 1100, BASE + AREA.count, 16), alloc(2000, 2100, BASE, 16),
        samples.record(Kind.RELEASE, 3000, 3100, area=0xffff, ret=1)), batch(watermark=LATE))
    assert left_out == {"records that cannot be what they say they are": 1,
                        "operations of no known area": 1}


def test_areas_of_several_ranges_are_left_out() -> None:
    ranged = dataclasses.replace(AREA, ranges=((BASE, 64), (BASE + 128, 64)), count=128)
    found, left_out = gathered(batch(alloc(1000, 1100, BASE, 16)), areas=(ranged,))
    assert not found
    assert left_out == {"operations on area reserved, which has several ranges": 1}


def test_a_release_that_overlaps_the_next_allocation_came_first() -> None:
    (demand,), left_out = gathered(at_rest(100), batch(
        alloc(1000, 1100, BASE, 16),
        alloc(2000, 2900, BASE, 16, tid=2), release(2500, 2800, BASE, 16, tid=1)),
        batch(watermark=LATE))
    assert [e.kind for e in demand.events] == [ASK, GIVE, ASK]
    assert demand.overlapping == 1
    assert not left_out


def test_what_failed_is_held_as_long_as_others_of_its_size() -> None:
    (demand,), _ = gathered(at_rest(100), batch(
        alloc(1000, 1100, BASE, 16), release(5100, 5200, BASE, 16),
        alloc(6000, 6100, 0, 16, Path.FAILED, ret=-12)), batch(watermark=LATE))
    assert demand.later == [(6100 + 4000, 1, 16)]
    result = Replay(demand, named("rfc"), 1).run()
    assert bytes(result.paths) == bytes([Path.CONTIG, Path.HIT])
    assert result.deferred == 2


def test_the_first_two_after_idle_time_are_told_from_those_right_after_others() -> None:
    at = 10 ** 7
    (demand,), _ = gathered(at_rest(100), batch(
        *(alloc(at + 200 * n, at + 200 * n + 100, BASE + 16 * n, 16) for n in range(4)),
        alloc(2 * at, 2 * at + 100, BASE + 64, 16)), batch(watermark=10 * at))
    assert list(demand.asks.idle) == [1, 1, 0, 0, 1]
