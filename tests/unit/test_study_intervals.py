# SPDX-License-Identifier: GPL-2.0
"""Intervals of repeated runs: the known coverage, and that they do cover."""

from __future__ import annotations

import math
import random

import pytest

from cmaobs.study import intervals


@pytest.mark.parametrize(("runs", "rank", "confidence"), [
    # Conover's table of binomial probabilities with p = 1/2.
    (1, 1, 0.0), (2, 1, 0.5), (3, 1, 0.75), (5, 1, 0.9375), (6, 1, 0.96875), (8, 1, 0.9921875),
    (9, 2, 0.9609375), (12, 3, 0.9614), (20, 6, 0.9586)])
def test_the_rank_and_the_confidence(runs: int, rank: int, confidence: float) -> None:
    found = intervals.of(list(range(1, runs + 1)))
    assert found is not None
    assert (found.low, found.high) == (rank, runs + 1 - rank)
    assert found.confidence == pytest.approx(confidence, abs=1e-4)
    assert found.median == (runs + 1) / 2
    assert found.runs == runs


def test_no_run_has_no_interval() -> None:
    assert intervals.of([]) is None


def test_it_covers_the_true_median_as_often_as_it_says() -> None:
    """Of a distribution with a long tail, as latencies have."""
    rng = random.Random(7)
    rounds, covered = 4000, 0
    for _ in range(rounds):
        found = intervals.of([rng.lognormvariate(0, 2) for _ in range(6)])
        assert found is not None
        covered += found.low <= 1.0 <= found.high
    assert covered / rounds == pytest.approx(0.96875, abs=0.01)


def test_ranges_contain_the_interval_of_any_values_in_them() -> None:
    rng = random.Random(8)
    ranges = [(low, low + rng.uniform(0, 3)) for low in (rng.uniform(0, 9) for _ in range(9))]
    outer = intervals.bounded(ranges)
    assert outer is not None
    for _ in range(200):
        inner = intervals.of([rng.uniform(*one) for one in ranges])
        assert inner is not None
        assert outer.low <= inner.low <= inner.high <= outer.high


def test_a_range_without_an_upper_end() -> None:
    found = intervals.bounded([(1.0, 2.0), (5.0, math.inf)])
    assert found is not None
    assert (found.median, found.low, found.high) == (3.25, 1.0, math.inf)
