# SPDX-License-Identifier: GPL-2.0
"""The same demand as it might have been at another time: how much chance is in an answer. Pure.

What is not the demand's own: when threads come relative to each other (each is shifted by up to
its mean time between two allocations), how often reclaim comes by (a Poisson number of times for
each recorded one), and -EBUSY where the recording has no answer (as often as it was recorded).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from random import Random

from cmaobs.whatif.demand import ASK, BEFORE, GIVE, REACH, Demand, Event

_WORD = (1 << 64) - 1


def varies(demand: Demand) -> bool:
    """Whether anything of this is in the demand."""
    return bool(demand.threads > 1 or demand.busy or REACH in demand.events.kinds)


def events_of(demand: Demand, chance: int) -> Iterable[Event]:
    """The demand's events, and releases of what failed in the recording; chance as in busy()."""
    found = _shifted(demand, Random(chance)) if chance else demand.events
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


def _shifted(demand: Demand, random: Random) -> list[Event]:
    gap = (demand.end_ns - demand.start_ns) * demand.threads / max(len(demand.asks), 1)
    shift: dict[int, int] = {}
    made: list[tuple[int, int, Event]] = []
    granted_ns: dict[int, int] = {}
    for number, (event, tid) in enumerate(zip(demand.events, demand.events.tids, strict=True)):
        if tid not in shift:
            shift[tid] = int(random.uniform(-gap, gap)) if demand.threads > 1 else 0
        time_ns = event.time_ns + shift[tid]
        if event.kind == REACH:
            for _ in range(_poisson(random)):
                at = event.time_ns + int(random.uniform(-gap, gap))
                made.append((at, number, event._replace(time_ns=at)))
            continue
        if event.kind == ASK:
            granted_ns[event.ask] = time_ns
        elif event.kind == GIVE and event.ask != BEFORE:
            time_ns = max(time_ns, granted_ns[event.ask] + 1)
        made.append((time_ns, number, event._replace(time_ns=time_ns)))
    made.sort()
    return [event for _, _, event in made]


def _poisson(random: Random) -> int:
    """A number whose mean is 1."""
    count, left = 0, random.random()
    while left > math.exp(-1):
        left *= random.random()
        count += 1
    return count
