# SPDX-License-Identifier: GPL-2.0
"""The same demand as it might have been at another time: how much chance is in an answer. Pure.

What is not the demand's own: when threads come relative to each other (each is shifted by up to
its mean time between two allocations), when and how often reclaim comes by, and -EBUSY where the
recording has no answer (as often as it was recorded).

Reclaim asks in bursts, several times each time that it is woken. A burst stays as it is, comes
earlier or later by up to the mean time between two, and a Poisson number of times; how often it
comes on average differs from run to run as well.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from cmaobs.whatif.demand import ASK, BEFORE, GIVE, REACH, Demand, Event

BURST_NS = 5_000_000  # between two questions of different bursts, at least
_STRAYS = 0.5  # see docs/whatif.md: of the logarithm of how often reclaim comes, the deviation
_LONGEST_NS = 1 << 61  # so that times stay within 63 bits, whatever a recording says
_WORD = (1 << 64) - 1


def varies(demand: Demand) -> bool:
    """Whether anything of this is in the demand."""
    return bool(demand.threads > 1 or demand.busy or REACH in demand.events.kinds)


class Drawn(NamedTuple):
    """shifts: ns by thread. reached: when reclaim asks, and the number of the recorded event that
    it is made of.
    """

    shifts: Mapping[int, int]
    reached: Sequence[tuple[int, int]]


def drawn(demand: Demand, chance: int) -> Drawn:
    """What another time would have been like. chance: the seed."""
    random = Random(chance)
    events = demand.events
    gap = min((demand.end_ns - demand.start_ns) * demand.threads / max(len(demand.asks), 1),
              _LONGEST_NS)
    shifts = {tid: int(random.uniform(-gap, gap)) if demand.threads > 1 else 0
              for tid in dict.fromkeys(events.tids)}
    bursts = _bursts(demand)
    often = math.exp(random.gauss(-_STRAYS ** 2 / 2, _STRAYS))  # 1 on average
    apart = min((demand.end_ns - demand.start_ns) / max(len(bursts), 1), _LONGEST_NS)
    reached = []
    for burst in bursts:
        for _ in range(_poisson(random, often)):
            shift = int(random.uniform(-apart, apart))
            reached += [(events.times[number] + shift, number) for number in burst]
    return Drawn(shifts, reached)


def _bursts(demand: Demand) -> list[list[int]]:
    """Numbers of the events by which reclaim asked."""
    events, found = demand.events, list[list[int]]()
    number, last_ns = events.kinds.find(REACH), -BURST_NS
    while number >= 0:
        if not found or events.times[number] - last_ns >= BURST_NS:
            found.append([])
        found[-1].append(number)
        last_ns = events.times[number]
        number = events.kinds.find(REACH, number + 1)
    return found


def events_of(demand: Demand, chance: int) -> Iterable[Event]:
    """The demand's events, and releases of what failed in the recording; chance as in busy().

    lane_vary() has the same.
    """
    found = _shifted(demand, drawn(demand, chance)) if chance else demand.events
    if not demand.later:
        return found
    return heapq.merge(found, (Event(at, GIVE, ask, 0, pages)
                               for at, ask, pages in sorted(demand.later)))


def busy(chance: int, ask: int, tried: int, demand: Demand) -> bool:
    """Whether a try whose answer is not known is taken to be -EBUSY, as lane_busy() has it.

    chance: seed of what is left to chance; 0: nothing is.
    """
    if not chance or not demand.contig:
        return False
    z = (chance + (ask + 1) * 0x9E3779B97F4A7C15 + tried) & _WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _WORD
    return (z ^ z >> 31) % demand.contig < demand.busy


def _shifted(demand: Demand, told: Drawn) -> list[Event]:
    events = demand.events
    made: list[tuple[int, int, Event]] = []
    granted_ns: dict[int, int] = {}
    for number, (event, tid) in enumerate(zip(events, events.tids, strict=True)):
        time_ns = event.time_ns + told.shifts[tid]
        if event.kind == REACH:
            continue
        if event.kind == ASK:
            granted_ns[event.ask] = time_ns
        elif event.kind == GIVE and event.ask != BEFORE:
            time_ns = max(time_ns, granted_ns[event.ask] + 1)
        made.append((time_ns, number, event._replace(time_ns=time_ns)))
    made += [(at, number, Event(at, REACH, 0, 0, 0)) for at, number in told.reached]
    made.sort()
    return [event for _, _, event in made]


def _poisson(random: Random, usual: float) -> int:
    """A number whose mean is the usual one."""
    count, left = 0, random.random()
    while left > math.exp(-usual):
        left *= random.random()
        count += 1
    return count
