# SPDX-License-Identifier: GPL-2.0
"""What a demand comes to under one policy and batch, as plain data. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, variance
from typing import Any

from cmaobs.events import Path
from cmaobs.whatif import fast, varied
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures
from cmaobs.whatif.latency import Estimate, Stretch, estimate, stretches
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules

VARIED = 3, 12  # replays of the demand as it might have been, at least and at most
_ENOUGH = 30_000_000  # events of such replays: the more there are in each, the less is chance
_STUDENT = (3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18)
"""Student's t, 97.5 %, of as many degrees of freedom as there are such replays."""
_GRANTED = (Path.HIT, Path.CONTIG)


@dataclass(slots=True)
class Sums:
    """Counts of one replay, of one demand or of several."""

    paths: Counter[int] = field(default_factory=Counter)
    gained: int = 0
    lost: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def granted(self) -> int:
        """Allocations that got pages."""
        return self.paths[Path.HIT] + self.paths[Path.CONTIG]

    @property
    def hit_ratio(self) -> float:
        """Of the granted."""
        return self.paths[Path.HIT] / self.granted if self.granted else 0.0

    @classmethod
    def of(cls, demand: Demand, result: Result) -> Sums:
        """One replay of one demand."""
        made = cls()
        for (was, path), count in Counter(zip(demand.asks.paths, result.paths,
                                              strict=True)).items():
            if was == Path.NONE:
                continue
            made.paths[path] += count
            if (was == Path.FAILED) != (path == Path.FAILED):
                made.gained += count * (was == Path.FAILED)
                made.lost += count * (path == Path.FAILED)
        for name in ("assumed", "contig", "flushes", "scans", "scanned_pages", "stopped",
                     "deferred", "direct"):
            made.counts[name] = getattr(result, name)
        made.counts["flushed_pages"] = sum(result.flushed)
        return made

    def add(self, other: Sums) -> None:
        """Those of another demand."""
        self.paths.update(other.paths)
        self.gained += other.gained
        self.lost += other.lost
        self.counts.update(other.counts)


def chances(demands: Sequence[Demand]) -> int:
    """How often the demand is replayed as it might have been."""
    if not any(map(varied.varies, demands)):
        return 0
    least, most = VARIED
    return min(max(_ENOUGH // sum(len(demand.events) for demand in demands), least), most)


def outcome(demands: Sequence[Demand], rules: Rules, batch: int | None, figures: Figures,
            ) -> dict[str, Any]:
    """All that is said of a policy."""
    runs: list[list[list[Stretch]]] = []
    again: list[list[Sums]] = [[] for _ in demands]  # of each demand, of each replay
    base: list[Result] = []
    for number in range(chances(demands) + 1):
        runs.append([])
        for place, demand in enumerate(demands):
            chance = number * len(demands) + place if number else 0
            result = (fast.run(demand, rules, batch, chance) if fast.takes(demand, rules)
                      else Replay(demand, rules, batch, chance).run())
            again[place].append(Sums.of(demand, result))
            told = fast.stretches if fast.there() else stretches
            runs[-1].append(told(demand, result, figures))
            if not number:
                base.append(result)
    made = _counted(again, base, demands)
    latency = estimate(runs, figures)
    return {"policy": rules.name, "batch": batch, **made,
            "latency": latency and {name: one._asdict() for name, one in latency.items()},
            "durations": _origins(runs[0], figures), "series": list(_series(demands, base))}


def _counted(again: Sequence[Sequence[Sums]], base: Sequence[Result], demands: Sequence[Demand]
             ) -> dict[str, Any]:
    first = Sums()
    for replays in again:
        first.add(replays[0])
    asks = sum(first.paths.values())
    counts = first.counts
    fragmented = [part for result in base for part in result.withheld.fragmentation]
    times = [demand.end_ns - demand.start_ns for demand in demands]
    pages = sum(result.withheld.mean * ns for result, ns in zip(base, times, strict=True))
    ratio = foretold(first.hit_ratio, [[one.hit_ratio for one in replays] for replays in again],
                     [replays[0].granted for replays in again])
    scanned = foretold(
        counts["scanned_pages"] / len(again),
        [[one.counts["scanned_pages"] for one in replays] for replays in again], [1] * len(again))
    return {
        "asks": asks, "hits": first.paths[Path.HIT], "contig": first.paths[Path.CONTIG],
        "failed": first.paths[Path.FAILED],
        "hit_ratio": ratio._replace(high=min(ratio.high, 1.0))._asdict() if first.granted else None,
        "would_succeed": first.gained, "would_fail": first.lost,
        "assumed_share": counts["assumed"] / asks if asks else 0.0,
        "withheld_pages": {"mean": pages / max(sum(times), 1),
                           "peak": max((one.withheld.peak for one in base), default=0)},
        "reclaim": {"scanned_pages_each": scanned._asdict(), **{name: counts[name] for name in (
            "flushes", "flushed_pages", "scans", "scanned_pages", "stopped")}},
        "releases": {name: counts[name] for name in ("deferred", "direct")},
        "fragmentation": sum(fragmented) / len(fragmented) if fragmented else None,
    }


def foretold(value: float, again: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    """The value, and the 95 % prediction interval of one more recording such as each of these.

    again: of each recording, what its replays came to, the one as recorded first. How far they
    stray is taken within each: that two recordings differ is no chance, but the value, which is of
    all of them, strays less than one alone. The interval lies around the value, since varied
    replays keep nothing of what threads have to do with each other; their mean is in it, since only
    they have -EBUSY where the recording has no answer.
    """
    total = sum(weights)
    strays = sum(weight * variance(values) for weight, values in zip(weights, again, strict=True)
                 if len(values) > 1)
    if not strays:
        return Estimate(value, value, value)
    middle = sum(weight * mean(values[1:]) for weight, values in zip(weights, again, strict=True))
    # A recording is one draw, as the run foretold is.
    reach = (_STUDENT[len(again[0]) - 1 - VARIED[0]]
             * math.sqrt(strays / total * (1 + 1 / len(again))))
    return Estimate(value, max(min(value - reach, middle / total), 0.0),
                    max(value + reach, middle / total))


def _origins(runs: Sequence[Sequence[Stretch]], figures: Figures) -> Mapping[str, int]:
    """How many durations are the ask's own, drawn from the recording, and from elsewhere."""
    found: Counter[str] = Counter(own=0, recording=0, shipped=0, none=0)
    for run in runs:
        for stretch in run:
            found["own"] += sum(stretch.own.values())
            for group, count in stretch.needs.items():
                samples, own = figures.samples(group)
                found["recording" if own else "shipped" if samples else "none"] += count
    return dict(found)


def _series(demands: Sequence[Demand], base: Sequence[Result]) -> Iterator[Mapping[str, Any]]:
    """Pages withheld over time, of each recording and area."""
    for demand, result in zip(demands, base, strict=True):
        yield {"recording": demand.source, "area": demand.facts.name,
               "seconds": (demand.end_ns - demand.start_ns) / 1e9,
               "mean_pages": [round(pages, 1) for pages in result.withheld.series],
               "most_pages": list(result.withheld.most)}
