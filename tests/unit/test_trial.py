# SPDX-License-Identifier: GPL-2.0
"""What a trial plans, and how it cuts one stream into recordings."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import recordings, samples

from cmaobs.errors import HostError
from cmaobs.events import Path as Way
from cmaobs.load.area import Area
from cmaobs.source import Batch
from cmaobs.state import Reading
from cmaobs.study import compared
from cmaobs.study.manifest import Counted
from cmaobs.trial import counting, host, plan
from cmaobs.trial.cut import Cutter, since

AREA_PAGES = 192 << 8


def planned(scale: plan.Scale) -> list[plan.Planned]:
    return [one for blocks in plan.rounds(scale, AREA_PAGES, 1)[0] for block in blocks
            for one in block]


@pytest.mark.parametrize("scale", plan.SCALES.values(), ids=lambda scale: scale.name)
def test_every_run_above_batch_0_has_its_pair(scale: plan.Scale) -> None:
    made = planned(scale)
    runs = {(one.setting, one.repetition): one.seed for one in made}
    assert len(runs) == len(made)
    compared = 0
    for (setting, repetition), seed in runs.items():
        assert runs[setting._replace(batch=0), repetition] == seed
        compared += setting.batch > 0
    assert compared >= len(made) / 2


def test_a_block_is_of_one_condition_and_its_order_is_drawn() -> None:
    rounds, _ = plan.rounds(plan.FULL, AREA_PAGES, 1)
    assert len(rounds) == plan.FULL.repetitions
    orders = Counter()
    for repetition, blocks in enumerate(rounds):
        assert len(blocks) == len(plan.FULL.conditions)
        for block in blocks:
            assert {(one.setting.condition, one.repetition) for one in block} \
                == {(block[0].setting.condition, repetition)}
            orders[tuple(one.setting for one in block)] += 1
    assert max(orders.values()) == 1
    assert plan.rounds(plan.FULL, AREA_PAGES, 1)[0] == rounds
    assert plan.rounds(plan.FULL, AREA_PAGES, 2)[0] != rounds


def test_the_full_scale_has_what_was_asked_for() -> None:
    settings = {one.setting for one in planned(plan.FULL)}
    assert {int(one.sizes) for one in settings if one.question == "size"} >= {1, 4096}
    assert {one.threads for one in settings} >= {1, 8}
    assert {one.condition for one in settings} == {"idle", "pressure", "fragmented"}
    assert len({one.batch for one in settings}) > 3
    assert plan.rounds(plan.FULL, AREA_PAGES, 1)[1] == []


def test_what_does_not_fit_is_left_out_and_told() -> None:
    rounds, left_out = plan.rounds(plan.FULL, 64 << 8, 1)
    assert {(one.threads, one.sizes) for one in left_out} == {(4, plan.MIXED), (8, plan.MIXED)}
    assert "do not fit 80% of the area's 16384" in left_out[0].why
    run = {(one.setting.threads, one.setting.sizes) for blocks in rounds for block in blocks
           for one in block}
    assert (2, plan.MIXED) in run
    assert not run & {(4, plan.MIXED), (8, plan.MIXED)}


class Fake:
    """A session: an operation while a run is on, and a record that comes late."""

    identity = samples.IDENTITY
    areas = (samples.AREA,)

    def __init__(self, never_at_rest: bool = False) -> None:
        self.now = 1000
        self.hits = 10
        self.late: list[Batch] = []
        self._restless = never_at_rest

    def reading(self) -> Reading:
        self.now += 1000
        if self._restless:
            self.hits += 1
        return samples.reading(self.now, (samples.counts(
            allocs_hit=self.hits, latencies={"alloc_hit": samples.latency(*[600] * self.hits)}),
            samples.state(at_ns=self.now, extents=((0x40000, 16),), begun=self.hits)))

    def finish(self) -> Iterator[Batch | Reading]:
        for _ in range(2):
            yield self.late.pop() if self.late else samples.batch(watermark=self.now)
            yield self.reading()
            yield samples.batch(watermark=self.now)

    def steps(self) -> Iterator[Batch | Reading]:
        yield self.reading()
        self.hits += 1
        start = self.now + 10
        self.late.append(samples.batch(samples.alloc(start, start + 600, 0x40000, 16, Way.HIT)))
        yield samples.batch(watermark=self.now)


def test_a_recording_has_what_came_after_its_cut(tmp_path: Path) -> None:
    cutter = Cutter(Fake())  # type: ignore[arg-type]
    for name in ("one.cmarec", "two.cmarec"):
        last = cutter.record(tmp_path / name, iter((True, False)).__next__)
        assert last.counts[0].counters["allocs_hit"] == 1
        assert last.counts[0].latencies["alloc_hit"] == samples.latency(600)
        steps, source = recordings.read(tmp_path / name)
        readings = [step for step in steps if isinstance(step, Reading)]
        assert readings[0].counts[0].counters["allocs_hit"] == 0
        assert source.identity["attached_ns"] == str(readings[0].time_ns)
        assert source.totals["records"] == 1


def test_an_area_that_never_rests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="do not come to rest"):
        Cutter(Fake(True)).rest()  # type: ignore[arg-type]


def test_losses_are_of_the_recording_too() -> None:
    base = samples.reading(1, (samples.counts(), samples.state()), losses={"ring_full": 3})
    later = samples.reading(2, (samples.counts(), samples.state()), losses={"ring_full": 5})
    assert since(later, base).losses.counts["ring_full"] == 2


@pytest.mark.parametrize("module", ["cmaobs.trial", "cmaobs.trial.counting"])
def test_help_says_what_it_needs(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True,
                          text=True, check=True, timeout=300)
    assert "FILE" in done.stdout or "DIR" in done.stdout


def test_an_error_of_the_worker_arrives_whole() -> None:
    error = pickle.loads(pickle.dumps(HostError("no", "then so")))
    assert (type(error), error.message, error.remedy) == (HostError, "no", "then so")


def test_the_host_is_told_as_far_as_it_can_be_known(tmp_path: Path) -> None:
    area = Area(tmp_path, "reserved", None)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nCmaTotal: 400 kB\n")
    said = host.facts(tmp_path, area)
    assert said["area"].startswith("reserved, 100 pages of ")
    for key in ("config", "config SHA-256", "clock"):
        assert said[key] == "unknown"
    assert said["parameters"] == "none"
    assert said["processors"].endswith(" x unknown")
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu hypervisor\n")
    (tmp_path / "proc/cmdline").write_text(
        "root=/dev/secret cma=64M init=/some/where cma_defer_batch=0 cma=192M page_owner=on\n")
    config = "CONFIG_CMA=y\n# CONFIG_CMA_DEBUG is not set\nCONFIG_HZ=250\nCONFIG_USB=y\n"
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(config.encode()))
    said = host.facts(tmp_path, area)
    assert said["config"] == "CMA=y, CMA_DEBUG=n, HZ=250"
    assert said["config SHA-256"] == hashlib.sha256(config.encode()).hexdigest()
    assert said["parameters"] == "cma=64M cma_defer_batch=0 cma=192M page_owner=on"
    assert said["processors"].endswith(" x QEMU TCG CPU version 2.5+")
    assert said["emulated"].startswith("yes: ")
    (tmp_path / "proc/cpuinfo").write_text("model name\t: A53\nflags\t\t: fpu hypervisor\n")
    assert host.facts(tmp_path, area)["emulated"] == "no, but a virtual machine"


def test_instructions_are_counted_of_each_size_that_fits(tmp_path: Path) -> None:
    """On files in place of a kernel's: what is written to them, and that batch is put back."""
    debugfs = tmp_path / "debugfs"
    debugfs.mkdir()
    for name, text in (("count", "1024"), ("order_per_bit", "0"), ("alloc", ""), ("free", "")):
        (debugfs / name).write_text(text)
    batch = tmp_path / "sys/kernel/mm/cma/reserved/batch"
    batch.parent.mkdir(parents=True)
    batch.write_text("7\n")
    found = counting.all_counts(Area(tmp_path, "reserved", debugfs), 3)
    assert batch.read_text() == "7\n"
    assert {(one.boot, one.batch, one.operation, one.pages) for one in found} == {
        (3, batch, operation, pages) for batch in (0, 64) for operation in ("alloc", "release")
        for pages in (1, 16, 256, 1024)}
    assert {len(one.instructions) for one in found} == {counting.ROUNDS}
    asked = (debugfs / "alloc").read_text().split()
    assert asked == (debugfs / "free").read_text().split()
    assert asked == ["1024"] * (counting.ROUNDS + 1)  # each size begins the files anew


def test_the_counts_are_told_with_what_differs_between_boots() -> None:
    rows = list(compared.counted([Counted(1, 0, "alloc", 16, (100, 104, 900)),
                                  Counted(2, 0, "alloc", 16, (100, 102, 104))]))
    median, spread = rows
    assert (median.value, median.low, median.high, median.operations) == (103, 100, 900, 6)
    assert (spread.statistic, spread.value) == ("difference of the boots' medians", 2)
