# SPDX-License-Identifier: GPL-2.0
"""The stated interval of the hit ratio holds what another run of the same threads comes to.

The runs are made up: threads that do the same each time, on a machine that takes another time for
each step. Which of them comes first is chance then, as it is in the device.
"""

from __future__ import annotations

import math
from random import Random
from statistics import mean, stdev

import pytest
from foretold.loads import Alloc, Free, Sleep, threads
from golden.samples import AREA

from cmaobs.events import Path
from cmaobs.whatif import fast, figures
from cmaobs.whatif.demand import ASK, GIVE, Demand, Event
from cmaobs.whatif.outcome import VARIED, Sums, chances, foretold, outcome
from cmaobs.whatif.rules import named

THREADS = 8
RFC, PREFERRING = "rfc", "prefer-deferred+flush-overlap"
# Between durations of cma_alloc() of 20 us and of 7 ms; ns, and how late sleepers wake.
MACHINES = {"fast": (20_000, 0.5, 300_000), "slow": (7_000_000, 1.0, 2_000_000)}


def run(seed: int, machine: str) -> Demand:
    """One run: what each thread asks for and gives back, and when."""
    usual_ns, spread, late_ns = MACHINES[machine]
    random = Random(seed)
    rows: list[tuple[int, int, int, int]] = []  # ns, thread, key, pages; 0: given back
    for tid in range(THREADS):
        now = 10 ** 9 + random.randrange(20_000_000)
        for action in threads(Random(f"7/threads/{tid}")):
            if isinstance(action, Sleep):
                now += round(action.seconds * 1e9 + random.expovariate(1 / late_ns))
            elif isinstance(action, Alloc):
                rows.append((now, tid, action.key, action.pages))
                now += round(usual_ns * math.exp(random.gauss(0, spread)))
            elif isinstance(action, Free):
                rows.append((now, tid, action.key, 0))
                now += 20_000
    demand = Demand(AREA, "made up", False, threads=THREADS)
    asks: dict[tuple[int, int], int] = {}
    for now, tid, key, pages in sorted(rows):
        if pages:
            asks[tid, key] = demand.asks.add(pages, Path.CONTIG, usual_ns, AREA.base_pfn + 1)
        ask = asks[tid, key]
        demand.events.add(Event(now, ASK, ask, pages, (pages - 1).bit_length()) if pages else
                          Event(now, GIVE, ask, 0, demand.asks.pages[ask]), tid + 1)
    demand.start_ns, demand.end_ns = 10 ** 9, max(demand.events.times) + 1
    demand.operations, demand.contig = len(rows), len(demand.asks)
    return demand


def ratio(demand: Demand, policy: str, chance: int = 0) -> float:
    """Hits of what was granted."""
    return Sums.of(demand, fast.run(demand, named(policy), 64, chance)).hit_ratio


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("policy", [RFC, PREFERRING])
def test_another_run_lies_in_the_interval(machine: str, policy: str) -> None:
    """And the interval is no wider than it has to be: it tells of the spread of such runs."""
    runs = [run(seed, machine) for seed in range(300)]
    seen = [ratio(one, policy) for one in runs]
    within, widths = 0, []
    for first in range(0, len(runs), 3):  # foretold from two, against a third
        known = runs[first:first + 2]
        told = foretold(mean(seen[first:first + 2]), [
            [ratio(one, policy, 2 * number + place if number else 0)
             for number in range(VARIED[1] + 1)] for place, one in enumerate(known)], [1, 1])
        within += told.low <= seen[first + 2] <= told.high
        widths.append(told.high - told.low)
    assert within >= 95, f"{within} of 100"
    assert 4 < mean(widths) / stdev(seen) < 7


def test_an_outcome_states_it() -> None:
    known = [run(seed, "fast") for seed in range(2)]
    made = outcome(known, named(RFC), 64, figures.Figures(known, figures.shipped()))
    told = made["hit_ratio"]
    again = [[ratio(one, RFC, 2 * number + place if number else 0)
              for number in range(VARIED[1] + 1)] for place, one in enumerate(known)]
    assert tuple(told.values()) == pytest.approx(foretold(mean(row[0] for row in again), again,
                                                          [1, 1]))
    assert made["reclaim"]["scanned_pages_each"] == {"value": 0, "low": 0, "high": 0}


def test_recordings_that_differ_by_nature_are_no_chance() -> None:
    """Of one thread each: what each comes to follows from the rules."""
    assert foretold(0.5, [[0.2], [0.8]], [1, 1]) == (0.5, 0.5, 0.5)
    assert foretold(0.5, [[0.2] * 13, [0.8] * 13], [1, 1]) == (0.5, 0.5, 0.5)


def test_a_heavy_recording_weighs_more() -> None:
    narrow, wide = [0.5, 0.51, 0.49, 0.5], [0.5, 0.6, 0.4, 0.5]
    light = foretold(0.5, [narrow, wide], [9, 1])
    heavy = foretold(0.5, [narrow, wide], [1, 9])
    assert light.high - light.low < 0.7 * (heavy.high - heavy.low)


@pytest.mark.parametrize(("events", "replays"), [
    (100, 12), (2_500_000, 12), (5_000_000, 6), (10_000_000, 3), (40_000_000, 3)])
def test_long_recordings_are_replayed_less_often(events: int, replays: int) -> None:
    demand = Demand(AREA, "long", False, threads=2)
    demand.events.kinds = bytearray(events)
    assert chances([demand]) == replays


def test_what_leaves_nothing_to_chance_is_replayed_once() -> None:
    assert chances([Demand(AREA, "alone", False, threads=1)]) == 0
