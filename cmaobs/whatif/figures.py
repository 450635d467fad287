# SPDX-License-Identifier: GPL-2.0
"""Measured durations by path and size: a recording's own, or those that come with the package.

Pure but for reading the latter.

The size class of an allocation is the order that holds its pages.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from statistics import median, variance
from typing import Any, NamedTuple

from cmaobs.events import Path
from cmaobs.whatif.demand import Demand

_LEAST = 20  # durations of a class that are taken for a distribution
_MOST = 4096  # that are kept of a class
KINDS = {int(Path.HIT): "hit", int(Path.CONTIG): "contig"}

Group = tuple[int, int, bool]  # path, size class, whether it came after idle time
Samples = Mapping[Group, Sequence[int]]  # ns


def size_class(pages: int) -> int:
    """The order that holds the pages."""
    return (pages - 1).bit_length() if pages > 1 else 0


class Cost(NamedTuple):
    """free_contig_range() of an extent: ns of each call, and of each page."""

    extent_ns: float
    page_ns: float

    def of(self, extents: int, pages: int) -> float:
        """ns to give these back."""
        return self.extent_ns * extents + self.page_ns * pages


class Figures:
    """Durations to draw from. shipped: of another machine; its where says of which.

    spread: by path and whether durations are the recording's own, how far the usual one strays: the
    standard deviation of its logarithm. From one run of a load to the next; if they are not, from
    one kind of load to another as well.
    """

    def __init__(self, demands: Iterable[Demand], shipped: Mapping[str, Any]) -> None:
        self.where = str(shipped["where"])
        spread = shipped["spread"]
        self.spread = {(path, own): math.hypot(spread[kind]["run"],
                                               0.0 if own else spread[kind]["load"])
                       for path, kind in KINDS.items() for own in (True, False)}
        self._own = _own(demands)
        self._shipped = {(path, int(size), bool(idle)): values for path, kind in KINDS.items()
                         for idle, sizes in enumerate(shipped[kind])
                         for size, values in sizes.items()}
        self._found: dict[Group, tuple[Sequence[int], bool]] = {}
        frees = [one for demand in demands for one in demand.frees]
        self.cost_is_own = len(frees) >= _LEAST
        self.cost = _cost(frees if self.cost_is_own else
                          [(pages, ns) for pages, ns in shipped["free"]])

    def samples(self, group: Group) -> tuple[Sequence[int], bool]:
        """Durations in ns, and whether the recording has them; empty where nobody has any.

        Of the group if there are enough; else of the same size, longer or shorter by what idle time
        makes of the others; else of the nearest size.
        """
        if group not in self._found:
            near = _near(self._own, group)
            self._found[group] = (near, True) if near else (_near(self._shipped, group), False)
        return self._found[group]


def _near(source: Samples, group: Group) -> Sequence[int]:
    path, size, idle = group
    enough = {key: values for key, values in source.items()
              if key[0] == path and len(values) >= _LEAST}
    if not enough:
        return ()
    best = min(enough, key=lambda key: (abs(key[1] - size), key[2] != idle))
    if best[2] == idle:
        return enough[best]
    ratios = [median(enough[path, one, True]) / median(enough[path, one, False])
              for _, one, cold in enough if cold and (path, one, False) in enough]
    factor = median(ratios) if ratios else 1.0
    return [round(ns * factor if idle else ns / factor) for ns in enough[best]]


def _own(demands: Iterable[Demand]) -> Samples:
    found: dict[Group, list[int]] = defaultdict(list)
    for demand in demands:
        asks = demand.asks
        for ask, (path, pages, ns, idle) in enumerate(zip(
                asks.paths, asks.pages, asks.durations, asks.idle, strict=True)):
            if path in KINDS:
                kept = found[path, size_class(pages), bool(idle)]
                if len(kept) < _MOST:
                    kept.append(ns - asks.freeing.get(ask, 0))
    return found


def _cost(frees: Sequence[tuple[int, int]]) -> Cost:
    """A line through the medians of each size class, since single durations stray far."""
    classes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for pages, ns in frees:
        classes[size_class(pages)].append((pages, ns))
    points = [(median(pages for pages, _ in one), median(ns for _, ns in one), len(one))
              for one in classes.values()]
    weight = sum(n for *_, n in points)
    if not weight:
        return Cost(0.0, 0.0)
    mean_x = sum(x * n for x, _, n in points) / weight
    mean_y = sum(y * n for _, y, n in points) / weight
    spread = sum(n * (x - mean_x) ** 2 for x, _, n in points)
    slope = max(sum(n * (x - mean_x) * (y - mean_y) for x, y, n in points) / spread
                if spread else mean_y / mean_x, 0.0)
    return Cost(max(mean_y - slope * mean_x, 0.0), slope)


def shipped() -> Mapping[str, Any]:
    """The figures that come with the package: where they were measured, and durations in ns."""
    text = resources.files("cmaobs").joinpath("data", "whatif.json").read_text()
    found: Mapping[str, Any] = json.loads(text)
    return found


def pack(loads: Sequence[Sequence[Demand]], where: str, most: int = 100) -> dict[str, Any]:
    """Figures of recordings, as shipped() has them. loads: of each kind of load its recordings;
    each gives at most so many quantiles of a class.
    """
    made: dict[str, Any] = {"where": where, "spread": {}}
    for path, kind in KINDS.items():
        classes: dict[Group, list[int]] = defaultdict(list)
        for load in loads:
            for group, values in _own(load).items():
                if group[0] == path and len(values) >= _LEAST:
                    classes[group] += _thin(sorted(values), most)
        made[kind] = [{str(size): sorted(values) for (_, size, idle), values
                       in sorted(classes.items()) if idle == cold} for cold in (False, True)]
        made["spread"][kind] = {
            "run": round(math.sqrt(sum(spreads) / len(spreads)), 3)
            if (spreads := [one for load in loads for one in _variances([[d] for d in load], path)])
            else 0.0,
            "load": round(math.sqrt(sum(between) / len(between)), 3)
            if (between := _variances(loads, path)) else 0.0}
    frees = [one for load in loads for demand in load for one in demand.frees]
    made["free"] = sorted(frees[::max(len(frees) // 512, 1)])
    return made


def _variances(groups: Sequence[Sequence[Demand]], path: int) -> list[float]:
    """Of the logarithms of the groups' medians, for each size class that several have."""
    medians: dict[Group, list[float]] = defaultdict(list)
    for demands in groups:
        for group, values in _own(demands).items():
            if group[0] == path and len(values) >= _LEAST:
                medians[group].append(math.log(median(values)))
    return [variance(logs) for logs in medians.values() if len(logs) > 1]


def _thin(values: Sequence[int], most: int) -> list[int]:
    """The values in the middle of equal parts of rank."""
    if len(values) <= most:
        return list(values)
    return [values[(2 * i + 1) * len(values) // (2 * most)] for i in range(most)]
