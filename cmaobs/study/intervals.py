# SPDX-License-Identifier: GPL-2.0
"""The median of repeated runs, with an interval. Pure.

The interval is that of order statistics: of n independent runs in ascending order, the true
median lies between the k-th lowest and the k-th highest with a probability of
1 - 2 * P(B < k), where B is binomial with n and 1/2 (W. J. Conover, Practical Nonparametric
Statistics, 3.2). It assumes nothing of the distribution, and nothing is simulated. k is the
largest for which the probability is 95 % or more; where even k = 1 has less (fewer than 6 runs),
the interval is from the lowest to the highest and its lower probability is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

WANTED = 0.95


class Interval(NamedTuple):
    """Of runs: their median, bounds of the true one, and the probability that it is within."""

    median: float
    low: float
    high: float
    confidence: float
    runs: int


def of(values: Sequence[float]) -> Interval | None:
    """None where there is no run."""
    return bounded([(value, value) for value in values])


def bounded(ranges: Sequence[tuple[float, float]]) -> Interval | None:
    """The same where each run's value is only known to lie in a range.

    The interval is from the k-th lowest lower end to the k-th highest upper end, which contains
    that of the values, whatever they are. The median is of the middles.
    """
    if not ranges:
        return None
    n = len(ranges)
    k = _rank(n)
    lows, highs = sorted(low for low, _ in ranges), sorted(high for _, high in ranges)
    middle = median(low if math.isinf(high) else (low + high) / 2 for low, high in ranges)
    return Interval(middle, lows[k - 1], highs[n - k], _confidence(n, k), n)


def _rank(n: int) -> int:
    k = 1
    while k + 1 <= (n + 1) // 2 and _confidence(n, k + 1) >= WANTED:
        k += 1
    return k


def _confidence(n: int, k: int) -> float:
    """That the median lies between the k-th lowest and the k-th highest of n; 0 for n = 1."""
    return 1.0 - sum(math.comb(n, i) for i in range(k)) / 2.0 ** (n - 1)
