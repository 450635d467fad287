# SPDX-License-Identifier: GPL-2.0
"""What a demand comes to under one policy and batch, as plain data. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from cmaobs.events import Path
from cmaobs.whatif import fast, varied
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures
from cmaobs.whatif.latency import Estimate, Stretch, estimate, stretches
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules

VARIED = 12  # replays of the demand as it might have been
_STUDENT = 2.18  # Student's t of 12 degrees of freedom, 97.5 %
_GRANTED = (Path.HIT, Path.CONTIG)


@dataclass(slots=True)
class Sums:
    """Counts over all demands of a replay."""

    paths: Counter[int] = field(default_factory=Counter)
    gained: int = 0
    lost: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def hit_ratio(self) -> float | None:
        """Of the granted."""
        granted = self.paths[Path.HIT] + self.paths[Path.CONTIG]
        return self.paths[Path.HIT] / granted if granted else None

    def add(self, demand: Demand, result: Result) -> None:
        """One replay of one demand."""
        for was, path in zip(demand.asks.paths, result.paths, strict=True):
            if was == Path.NONE:
                continue
            self.paths[path] += 1
            if (was == Path.FAILED) != (path == Path.FAILED):
                self.gained += was == Path.FAILED
                self.lost += path == Path.FAILED
        for name in ("assumed", "contig", "flushes", "scans", "scanned_pages", "stopped",
                     "deferred", "direct"):
            self.counts[name] += getattr(result, name)
        self.counts["flushed_pages"] += sum(result.flushed)


def outcome(demands: Sequence[Demand], rules: Rules, batch: int | None, figures: Figures,
            ) -> dict[str, Any]:
    """All that is said of a policy."""
    chances = VARIED if any(map(varied.varies, demands)) else 0
    sums: list[Sums] = []
    runs: list[list[list[Stretch]]] = []
    base: list[Result] = []
    for number in range(chances + 1):
        sums.append(Sums())
        runs.append([])
        for place, demand in enumerate(demands):
            chance = number * len(demands) + place if number else 0
            result = (fast.run(demand, rules, batch, chance) if fast.takes(demand, rules)
                      else Replay(demand, rules, batch, chance).run())
            sums[-1].add(demand, result)
            runs[-1].append(stretches(demand, result, figures))
            if not number:
                base.append(result)
    made = _counted(sums, base, demands)
    latency = estimate(runs, figures)
    return {"policy": rules.name, "batch": batch, **made,
            "latency": latency and {name: one._asdict() for name, one in latency.items()},
            "durations": _origins(runs[0], figures), "series": list(_series(demands, base))}


def _counted(sums: Sequence[Sums], base: Sequence[Result], demands: Sequence[Demand]
             ) -> dict[str, Any]:
    first = sums[0]
    ratios = [one.hit_ratio for one in sums if one.hit_ratio is not None]
    asks = sum(first.paths.values())
    counts = first.counts
    fragmented = [part for result in base for part in result.withheld.fragmentation]
    times = [demand.end_ns - demand.start_ns for demand in demands]
    pages = sum(result.withheld.mean * ns for result, ns in zip(base, times, strict=True))
    return {
        "asks": asks, "hits": first.paths[Path.HIT], "contig": first.paths[Path.CONTIG],
        "failed": first.paths[Path.FAILED],
        "hit_ratio": _foretold(ratios)._asdict() if ratios else None,
        "would_succeed": first.gained, "would_fail": first.lost,
        "assumed_share": counts["assumed"] / asks if asks else 0.0,
        "withheld_pages": {"mean": pages / max(sum(times), 1),
                           "peak": max((one.withheld.peak for one in base), default=0)},
        "reclaim": {name: counts[name] for name in (
            "flushes", "flushed_pages", "scans", "scanned_pages", "stopped")},
        "releases": {name: counts[name] for name in ("deferred", "direct")},
        "fragmentation": sum(fragmented) / len(fragmented) if fragmented else None,
    }


def _foretold(ratios: Sequence[float]) -> Estimate:
    """The first, and the 95 % prediction interval of one more such as all of them."""
    low, high = min(ratios), max(ratios)
    if low < high:
        reach = _STUDENT * stdev(ratios) * math.sqrt(1 + 1 / len(ratios))
        low = max(min(low, mean(ratios) - reach), 0.0)
        high = min(max(high, mean(ratios) + reach), 1.0)
    return Estimate(ratios[0], low, high)


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
