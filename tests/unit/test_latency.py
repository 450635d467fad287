# SPDX-License-Identifier: GPL-2.0
"""Slots, their edges, and quantiles against the sorted durations."""

from __future__ import annotations

import itertools
import math

import pytest
from golden import samples
from hypothesis import given
from hypothesis import strategies as st

from cmaobs import latency

DURATIONS = st.integers(0, 1 << 40)


@given(DURATIONS)
def test_a_duration_lies_between_the_edges_of_its_slot(duration: int) -> None:
    slot = latency.slot_of(duration)
    assert latency.lower_edge_ns(slot) <= duration
    if slot < latency.SLOTS - 1:
        assert duration < latency.lower_edge_ns(slot + 1)


def test_edges_rise_and_are_at_most_a_quarter_apart() -> None:
    edges = [latency.lower_edge_ns(slot) for slot in range(1, latency.SLOTS)]
    assert edges[0] == 2 ** 7
    assert edges == sorted(set(edges))
    assert max(b / a for a, b in itertools.pairwise(edges)) == 1.25


def test_the_octaves_are_edges_up_to_what_the_header_promises() -> None:
    edges = {latency.lower_edge_ns(slot) for slot in range(latency.SLOTS)}
    octaves = [1 << octave for octave in latency.OCTAVES]
    assert octaves[0] == 2 ** 8
    assert octaves[-1] == 2 ** 36
    assert set(octaves) <= edges


@given(st.lists(DURATIONS, min_size=1, max_size=60), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_bounds_the_true_one(durations: list[int], share: float) -> None:
    true = sorted(durations)[math.ceil(share * len(durations)) - 1]
    found = latency.quantile(samples.latency(*durations), share)
    assert found is not None
    assert found.low_s <= true * 1e-9
    assert true * 1e-9 < found.high_s
    if 2 ** 7 <= true < 2 ** 36:
        assert abs(found.middle_s - true * 1e-9) <= true * 1e-9 / 8 * (1 + 1e-12)  # of floats


def test_no_operations_have_no_quantile() -> None:
    assert latency.quantile(samples.latency(), 0.5) is None


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="above 1"):
        latency.quantile(samples.latency(5), 1.5)


@given(st.lists(DURATIONS, max_size=60))
def test_buckets_count_what_is_below_their_limit(durations: list[int]) -> None:
    buckets = latency.cumulative(samples.latency(*durations))
    assert len(buckets) == len(latency.OCTAVES) + 1
    for (limit, below), octave in zip(buckets, latency.OCTAVES, strict=False):
        assert limit == pytest.approx((1 << octave) * 1e-9)
        assert below == sum(duration < 1 << octave for duration in durations)
    assert buckets[-1] == (math.inf, len(durations))


def test_merging_adds() -> None:
    both = latency.merge([samples.latency(100, 5000), samples.latency(5000)])
    assert both == samples.latency(100, 5000, 5000)
    assert latency.merge([]) == samples.latency()
