# SPDX-License-Identifier: GPL-2.0
"""The distribution of cma_alloc's latency where pages were granted, and its uncertainty. Pure.

An allocation that takes the same path as in the recording keeps its own duration, with what a
flush adds or saves. Another one has a duration drawn from those measured for its path and size.

The interval is for one more recording such as each of these, not for the mean of many: bootstrap
replicates (a recording, then stretches of time in it, then measured durations, all drawn with
replacement; the durations of a path longer or shorter together, as from one run to the next on the
machine of the shipped figures, or, where these are used, from one kind of load to another), spread
by the root of 1 + 1/n, since the n recorded runs stray as the one foretold.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from cmaobs.events import Path
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures, Group, size_class
from cmaobs.whatif.result import Result

SHARES = {"p50_s": 0.5, "p99_s": 0.99, "worst_s": 1.0}
REPLICATES = 200
PARTS = 32  # of an octave: bins are 2.2 % wide
STRETCHES = 20
_DRAWS = 400  # of a kind and replicate; more asks weigh more instead
_SIDES = (0.025, 0.975)



class Estimate(NamedTuple):
    """A value, and the interval that holds 95 % of the replicates."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Stretch:
    """Some successive asks. own: of durations that were recorded, how many by path and bin. needs:
    how many durations are to be drawn of each group, and ns of flushes on top of them.
    """

    own: Counter[tuple[int, int]] = field(default_factory=Counter)
    needs: Counter[Group] = field(default_factory=Counter)
    flush_ns: Counter[Group] = field(default_factory=Counter)


def bin_of(ns: float) -> int:
    """The bin of a duration."""
    return int(math.log2(max(ns, 1.0)) * PARTS)


def seconds(number: int) -> float:
    """The middle of a bin."""
    return 2 ** ((number + 0.5) / PARTS) / 1e9


def stretches(demand: Demand, result: Result, figures: Figures) -> list[Stretch]:
    """What each of the equal parts of the demand's asks took. lane_stretches() has the same."""
    made = [Stretch() for _ in range(STRETCHES)]
    asks = demand.asks
    total = len(asks)
    rows = zip(asks.paths, asks.pages, asks.durations, asks.idle, result.paths, result.extents,
               result.flushed, strict=True)
    for ask, (was, pages, ns, idle, path, extents, flushed) in enumerate(rows):
        if was == Path.NONE or path == Path.FAILED:
            continue
        stretch = made[ask * STRETCHES // total]
        flush_ns = figures.cost.of(extents, flushed) if extents else 0.0
        if path == was:
            stretch.own[path, bin_of(ns - asks.freeing.get(ask, 0) + flush_ns)] += 1
        else:
            group = path, size_class(pages), bool(idle)
            stretch.needs[group] += 1
            stretch.flush_ns[group] += round(flush_ns)
    return made


Runs = Sequence[Sequence[Stretch]]  # by recording


def estimate(replays: Sequence[Runs], figures: Figures, seed: int = 1
             ) -> Mapping[str, Estimate] | None:
    """Quantiles in seconds; None where nothing was granted.

    replays: of the demand as recorded first, then as it might have been.
    """
    point = _quantiles(_mixture([one for run in replays[0] for one in run], figures, None))
    if point is None:
        return None
    random = Random(seed)
    spread = math.sqrt(1 + 1 / len(replays[0]))
    found: dict[str, list[float]] = {name: [] for name in SHARES}
    for number in range(REPLICATES):
        run = random.choice(replays[number % len(replays)])
        quantiles = _quantiles(_mixture(random.choices(run, k=len(run)), figures, random))
        for name, value in (quantiles or {}).items():
            found[name].append(point[name] * (value / point[name]) ** spread)
    return {name: Estimate(point[name], *_sides(found[name], point[name])) for name in SHARES}


def measured(demands: Iterable[Demand]) -> Mapping[str, float] | None:
    """The same quantiles of what was recorded."""
    bins = Counter(bin_of(ns) for demand in demands
                   for path, ns in zip(demand.asks.paths, demand.asks.durations, strict=True)
                   if path in (Path.HIT, Path.CONTIG))
    return _quantiles(bins)


def _sides(values: list[float], point: float) -> tuple[float, float]:
    values.sort()
    low, high = (values[round(side * (len(values) - 1))] for side in _SIDES)
    return min(low, point), max(high, point)


def _mixture(drawn: Iterable[Stretch], figures: Figures, random: Random | None
             ) -> Mapping[int, float]:
    """Weights by bin. random None: each measured duration counts the same."""
    own: Counter[tuple[int, int]] = Counter()
    needs: Counter[Group] = Counter()
    flush_ns: Counter[Group] = Counter()
    for one in drawn:
        own.update(one.own)
        needs.update(one.needs)
        flush_ns.update(one.flush_ns)
    stray = {key: round(random.gauss(0, spread) / math.log(2) * PARTS) if random else 0
             for key, spread in figures.spread.items()}
    mixed: defaultdict[int, float] = defaultdict(float)
    for (path, number), count in sorted(own.items()):
        mixed[number + stray[path, True]] += count
    for group, count in sorted(needs.items()):
        samples, recorded = figures.samples(group)
        if not samples:
            continue
        if random is not None:
            again = random.choices(samples, k=min(len(samples), _DRAWS))
            samples = random.choices(again, k=min(count, _DRAWS))
        weight = count / len(samples)
        more = flush_ns[group] / count
        for ns in samples:
            mixed[bin_of(ns + more) + stray[group[0], recorded]] += weight
    return mixed


def _quantiles(bins: Mapping[int, float]) -> Mapping[str, float] | None:
    total = sum(bins.values())
    if not total:
        return None
    found: dict[str, float] = {}
    ordered = sorted(bins.items())
    for name, share in SHARES.items():
        seen = itertools.accumulate(weight for _, weight in ordered)
        found[name] = seconds(next(number for (number, _), sum_ in zip(ordered, seen, strict=True)
                                   if sum_ >= share * total - 1e-6))
    return found
