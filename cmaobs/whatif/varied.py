# SPDX-License-Identifier: GPL-2.0
"""The same demand as it might have been at another time: how much chance is in an answer. Pure.

What is not the demand's own: when threads come relative to each other (each is shifted by up to
its mean time between two allocations), how often reclaim comes by (a Poisson number of times for
each recorded one), and -EBUSY where the recording has no answer (as often as it was recorded).
"""

from __future__ import annotations

import math
from random import Random

from cmaobs.whatif.demand import ASK, BEFORE, GIVE, REACH, Demand, Event


def varies(demand: Demand) -> bool:
    """Whether anything of this is in the demand."""
    return bool(demand.threads > 1 or demand.busy or REACH in demand.events.kinds)


def events(demand: Demand, random: Random) -> list[Event]:
    """The demand's events at other times."""
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
