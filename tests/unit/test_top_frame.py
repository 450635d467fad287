# SPDX-License-Identifier: GPL-2.0
"""Frames, figures and time lines: the data of the screen, whatever the source."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from golden import samples, screens

from cmaobs import latency, metrics
from cmaobs.top import figures
from cmaobs.top.frame import Buckets, Frame, is_ours, of_text, of_view
from cmaobs.top.timeline import KEPT, Timeline


def _buckets(*durations_ns: int) -> Buckets:
    found = of_view(samples.plain_view()).buckets("cma_alloc_duration_seconds", "reserved",
                                                  "contig")
    assert found is not None
    one = samples.latency(*durations_ns)
    return Buckets(one.sum_ns / 1e9, found.edges, one.slots)


@pytest.mark.parametrize("view", [samples.view(), samples.plain_view(), screens.view(20)])
def test_metrics_and_a_view_give_the_same_frame(view: samples.View) -> None:
    """But for the grain of histograms, and what /metrics does not have."""
    near, far = of_view(view), of_text(metrics.exposition(view).decode())
    assert near.samples.keys() == far.samples.keys()
    assert near.wall_s == far.wall_s
    for key, value in near.samples.items():
        other = far.samples[key]
        if isinstance(value, Buckets):
            assert isinstance(other, Buckets)
            assert (value.count, value.sum_s) == (other.count, pytest.approx(other.sum_s))
            for share in (0.01, 0.5, 0.99, 1.0):
                fine, coarse = value.quantile(share), other.quantile(share)
                if fine is not None:
                    assert coarse is not None
                    assert coarse[0] <= fine[0] < fine[1] <= coarse[1]
        else:
            assert value == other, key
    assert near.states
    assert not far.states


def test_figures_are_the_same_from_both() -> None:
    views = screens.view(18), screens.view(20)
    near = figures.areas(of_view(views[1]), of_view(views[0]))
    far = figures.areas(*(of_text(metrics.exposition(view).decode()) for view in views[::-1]))
    assert [dataclasses.replace(one, paths=()) for one in near] \
        == [dataclasses.replace(one, paths=()) for one in far]
    assert [[(path.name, path.per_s) for path in one.paths] for one in near] \
        == [[(path.name, path.per_s) for path in one.paths] for one in far]


def test_figures_of_an_interval() -> None:
    one = figures.areas(of_view(screens.view(20)), of_view(screens.view(10)))[0]
    assert (one.name, one.pages, one.allocated, one.deferred) == ("reserved", 16384, 2560, 352)
    assert (one.allocs_per_s, one.releases_per_s) == (50, 50)
    assert one.hit_share == 0.8
    assert (one.misses, one.scans, one.reclaimed) == (10, 5, 320)
    assert one.use == 2560 / 16384
    assert one.fragmentation == pytest.approx(1 - one.largest / (16384 - 2560))
    by_name = {path.name: path for path in one.paths}
    assert by_name["alloc contig"].per_s == 10
    assert by_name["alloc contig"].taken.count == 100
    low, high = one.p99
    assert low <= 0.02 < high


def test_without_an_interval_figures_are_of_all_and_rates_unknown() -> None:
    frame = of_view(screens.view(20))
    for before in (None, frame, of_view(screens.view(22))):
        one = figures.areas(frame, before)[0]
        assert one.allocs_per_s is None
        assert one.hit_share == 0.8
        assert one.misses == 20


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    one = figures.areas(dataclasses.replace(of_view(screens.view(2)), wall_s=screens.START_S + 30),
                        of_view(screens.view(20)))[0]
    assert one.allocs_per_s == 100 / 10
    assert {path.name: path.taken.count for path in one.paths}["alloc contig"] == 20


def test_what_a_kernel_does_not_have_is_not_zero() -> None:
    one = figures.areas(of_view(screens.view(20, patched=False)), None)[0]
    assert (one.deferred, one.batch, one.hit_share, one.misses) == (None,) * 4
    assert [path.name for path in one.paths] == ["alloc contig", "release direct"]


def test_an_areas_policy_where_it_can_be_set() -> None:
    found = {one.name: one.policy for one in figures.areas(of_view(samples.view()), None)}
    assert found == {"reserved": "deferred-first", "camera": None}
    data = figures.data(of_view(samples.view()), None)
    assert [one["policy"] for one in data["areas"]] == ["deferred-first", None]


def test_an_area_that_cannot_be_read_has_rates_and_no_pages() -> None:
    one = next(one for one in figures.areas(of_view(samples.view()), None) if one.name == "camera")
    assert (one.pages, one.allocated, one.use, one.fragmentation) == (4096, None, None, None)


def test_quantiles_agree_with_those_of_latency() -> None:
    durations = [100 * 3 ** number for number in range(18)]
    one = samples.latency(*durations)
    for share in (0.05, 0.5, 0.9, 0.99, 1.0):
        expected = latency.quantile(one, share)
        assert _buckets(*durations).quantile(share) == (expected.low_s, expected.high_s)
    assert _buckets().quantile(0.5) is None
    assert _buckets(1 << 60).quantile(0.5)[1] == math.inf


def test_since_takes_away_what_was_there() -> None:
    both, first = _buckets(1000, 2000, 5000), _buckets(2000)
    assert both.since(first).count == 2
    assert both.since(first).sum_s == pytest.approx(6e-6)
    assert both.since(None) is both
    assert first.since(both) is first
    assert both.since(Buckets(0, (0.0, 1.0), (1,))) is both


@pytest.mark.parametrize("text", ["", "# nothing\n", "node_load1 3\n"])
def test_others_metrics_are_not_ours(text: str) -> None:
    assert not is_ours(of_text(text, 5.0))


@pytest.mark.parametrize("text", ["<html>", "cma_area_pages{area=\"x\" 3\n", "a b c d\n"])
def test_what_is_no_exposition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        of_text(text)


def test_data_for_programs() -> None:
    data = figures.data(of_view(screens.view(20)), of_view(screens.view(18)))
    assert data["interval_s"] == 2
    assert data["verdict"] == "agree"
    assert data["areas"][0]["paths"]["alloc contig"]["p50_s"][0] <= 350e-6


def test_a_time_line_is_bounded_and_keeps_both_ends() -> None:
    found = Timeline()
    for second in range(5 * KEPT):
        found.add(Frame(float(second), {}))
        assert len(found) <= KEPT
        assert found.span == (0, second)
    times = [found.at(place).wall_s for place in range(len(found))]
    steps = {after - before for before, after in itertools.pairwise(times[:-1])}
    assert len(found) > KEPT // 2
    assert len(steps) == 1


def test_a_time_line_finds_moments() -> None:
    found = screens.timeline(20)
    start = screens.START_S
    assert found.place(None) == len(found) - 1 == 10
    assert [found.place(start + at) for at in (-5, 0, 1.9, 2, 100)] == [0, 0, 0, 1, 10]
    now, before = found.pair(start + 10, 2.0)
    assert (now.wall_s, before.wall_s) == (start + 10, start + 8)
    now, before = found.pair(None, 6.0)
    assert (now.wall_s, before.wall_s) == (start + 20, start + 14)
    assert found.pair(start, 2.0)[1] is None
    found.add(dataclasses.replace(found.at(10), warnings=("again",)))
    assert len(found) == 11
    assert found.at(10).warnings == ("again",)
