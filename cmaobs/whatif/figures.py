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

Samples = Mapping[tuple[int, int], Sequence[int]]  # path, size class: ns


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

    spread: by path, how far the usual duration strays from one run to the next: the standard
    deviation of its logarithm.
    """

    def __init__(self, demands: Iterable[Demand], shipped: Mapping[str, Any]) -> None:
        self.where = str(shipped["where"])
        self.spread = {path: float(shipped["spread"][kind]) for path, kind in KINDS.items()}
        self._own = _own(demands)
        self._shipped = {(path, int(size)): values for path, kind in KINDS.items()
                         for size, values in shipped[kind].items()}
        frees = [one for demand in demands for one in demand.frees]
        self.cost_is_own = len(frees) >= _LEAST
        self.cost = _cost(frees if self.cost_is_own else
                          [(pages, ns) for pages, ns in shipped["free"]])

    def samples(self, path: int, pages: int) -> tuple[Sequence[int], bool]:
        """Durations in ns of the nearest class that has enough, and whether the recording has them.

        Empty where neither has any.
        """
        wanted = size_class(pages)
        for source, own in ((self._own, True), (self._shipped, False)):
            near = sorted((abs(size - wanted), size) for kind, size in source
                          if kind == path and len(source[kind, size]) >= _LEAST)
            if near:
                return source[path, near[0][1]], own
        return (), False


def _own(demands: Iterable[Demand]) -> Samples:
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for demand in demands:
        asks = demand.asks
        for ask, (path, pages, ns) in enumerate(zip(asks.paths, asks.pages, asks.durations,
                                                    strict=True)):
            if path in KINDS:
                kept = found[path, size_class(pages)]
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


def pack(demands: Sequence[Demand], where: str, most: int = 64) -> dict[str, Any]:
    """Figures of recordings, as shipped() has them: of each class at most so many quantiles."""
    own = _own(demands)
    made: dict[str, Any] = {"where": where}
    for path, kind in KINDS.items():
        made[kind] = {str(size): _thin(sorted(own[path, size]), most)
                      for p, size in sorted(own) if p == path}
    made["spread"] = {kind: round(_spread(demands, path), 3) for path, kind in KINDS.items()}
    frees = [one for demand in demands for one in demand.frees]
    made["free"] = sorted(frees[::max(len(frees) // 512, 1)])
    return made


def _spread(demands: Sequence[Demand], path: int) -> float:
    """Over the runs, of the medians of each size class."""
    medians: dict[int, list[float]] = defaultdict(list)
    for demand in demands:
        for (kind, size), values in _own([demand]).items():
            if kind == path and len(values) >= _LEAST:
                medians[size].append(math.log(median(values)))
    spreads = [variance(logs) for logs in medians.values() if len(logs) > 1]
    return math.sqrt(sum(spreads) / len(spreads)) if spreads else 0.0


def _thin(values: Sequence[int], most: int) -> list[int]:
    """The values at equal steps of rank, the ends included."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
