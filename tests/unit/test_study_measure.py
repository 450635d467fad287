# SPDX-License-Identifier: GPL-2.0
"""What is measured of one recording, against the report of replay and against its records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden import recordings, samples
from golden.cli import ROOT, run

from cmaobs import latency
from cmaobs.commands import report
from cmaobs.events import Path as Way
from cmaobs.study import alone
from cmaobs.study.alone import Measured
from cmaobs.study.measure import ALLOCS, RELEASES, Area, size_class

DEMO = ROOT / "cmaobs" / "data" / "demo.cmarec"


@pytest.fixture(scope="module")
def demo() -> Measured:
    return report.measure(str(DEMO), "demo")


def test_it_says_what_replay_says(demo: Measured) -> None:
    said = json.loads(run("replay", DEMO, "--json").stdout)
    area, = said["areas"]
    rows = {(row.operation, row.statistic): row for row in alone.rows(demo)
            if row.table == "latency" and row.pages is None}
    for kind, found in area["latency"].items():
        assert rows[kind, "count"].value == found["count"]
        assert rows[kind, "mean"].value == found["mean_s"]
        for name in ("p50", "p99"):
            row = rows[kind, name]
            assert [row.low, row.high] == found[f"{name}_s"]
    assert {kind for kind, _ in rows} == set(area["latency"])
    one, = demo.busy
    assert one.hit_ratio == area["hit_share"]
    assert demo.outcome == said["verdict"]["outcome"] == "agree"
    assert demo.view.records == said["records"]


def test_sizes_add_up_to_what_the_kernel_counted(demo: Measured) -> None:
    one, = demo.busy
    assert one.missing == {}
    sizes = {size for _, size in one.slots}
    assert {size for kind, size in one.slots if kind in ALLOCS} == {1, 4, 16, 64, 256}
    for kind in (*ALLOCS, *RELEASES):
        parts = [one.by_size(kind, size) for size in sizes]
        assert latency.merge(parts) == one.latencies[kind]


def test_the_time_of_an_allocation_is_all_its_parts(demo: Measured) -> None:
    one, = demo.busy
    seen = 0
    for kind in ("alloc_hit", "alloc_contig"):
        parts = [spent for (of, _), spent in one.spent.items() if of == kind]
        whole = sum(part.whole for part in parts)
        assert whole == one.latencies[kind].count
        assert sum(part.contig_ns + part.flush_ns + part.rest_ns for part in parts) \
            == one.latencies[kind].sum_ns
        seen += whole
    assert seen > 1000
    assert sum(part.contig_ns for (of, _), part in one.spent.items() if of == "alloc_contig") \
        == one.latencies["contig"].sum_ns


def test_what_has_no_record_is_told(tmp_path: Path) -> None:
    """The kernel counted one contig allocation and one hit more than there are records."""
    steps = recordings.steps()
    steps[-1] = samples.reading(8000, (samples.counts(
        allocs_hit=2, allocs_contig=1, latencies={"alloc_contig": samples.latency(2000),
                                                  "alloc_hit": samples.latency(600, 700)}),
        samples.state(at_ns=8000, begun=4)), losses={"ring_full": 1})
    recordings.write(tmp_path / "lossy.cmarec", steps)
    found = report.measure(str(tmp_path / "lossy.cmarec"), "lossy")
    one, = found.busy
    assert one.missing == {"alloc_hit": 1, "alloc_failed": -1, "release_deferred": -1}
    assert found.lost == 1
    assert [row.value for row in alone.rows(found) if row.table == "missing"] == [1, -1, -1]


def test_withheld_is_weighed_by_time() -> None:
    area = Area(samples.AREA)
    area.withheld += [(0, 0), (10, 100), (40, 20), (50, 999)]
    assert area.withheld_mean() == (10 * 0 + 30 * 100 + 10 * 20) / 50
    area.withheld[1:] = []
    assert area.withheld_mean() is None


@pytest.mark.parametrize(("pages", "first"), [(1, 1), (2, 2), (3, 2), (4, 4), (255, 128),
                                              (256, 256), (4096, 4096), (0, 1)])
def test_size_classes(pages: int, first: int) -> None:
    assert size_class(pages) == first


def test_an_operation_whose_calls_are_missing_is_not_divided(tmp_path: Path) -> None:
    steps = recordings.steps()
    steps[1] = samples.batch(samples.alloc(1000, 3000, 0x40000, 16, Way.CONTIG, n_contig=1),
                             watermark=2000)
    recordings.write(tmp_path / "part.cmarec", steps)
    one, = report.measure(str(tmp_path / "part.cmarec"), "part").busy
    assert ("alloc_contig", 16) in one.slots
    assert ("alloc_contig", 16) not in one.spent
