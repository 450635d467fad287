# SPDX-License-Identifier: GPL-2.0
"""An area's policy on the live kernel: what it changes, what it does not, and the verdict.

The observer runs in this process, as in test_rules.py. At the end the model must agree with all of
it, each operation judged by the policy of its time.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmaobs.events import Kind
from cmaobs.events import Path as Way
from cmaobs.verdict import Outcome
from kernel.tools import AREA, PATIENCE_S, Area, Serve, cli, key_of, load
from kernel.watch import Watch

pytestmark = [pytest.mark.kernel, pytest.mark.patched("yes")]
FILE = Path("/sys/kernel/mm/cma", AREA, "policy")


@pytest.fixture
def watch(watch: Watch) -> Iterator[Watch]:
    """That of all, and the default policy again afterwards."""
    yield watch
    FILE.write_text("first-fit")


def prefer(watch: Watch) -> None:
    """deferred-first, and the observer has seen the area at rest under it."""
    FILE.write_text("deferred-first\n")
    assert FILE.read_text() == "deferred-first\n"
    watch.clear()


def straddled(area: Area, watch: Watch) -> int:
    """Two extents of 8 pages that lie together, and one of 32 behind them; the first pfn."""
    area.blocks(8, 8, 32)
    state = watch.clear()
    assert [pages for _, pages in state.extents or ()] == [8, 8, 32]
    return min(pfn for pfn, _ in state.extents or ())


def test_the_default_is_as_before(watch: Watch, area: Area) -> None:
    assert FILE.read_text() == "first-fit\n"
    assert FILE.stat().st_mode & 0o777 == 0o600
    first = straddled(area, watch)
    assert area.alloc(16)
    state = watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.pfn, alloc.n_free, alloc.free_pages) == (Way.CONTIG, first, 3, 48)
    assert (state.policy, state.defer_count) == (0, 0)


def test_an_extent_is_preferred_to_a_lower_run(watch: Watch, area: Area) -> None:
    prefer(watch)
    first = straddled(area, watch)
    assert area.alloc(16)
    state = watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.pfn, alloc.n_free) == (Way.HIT, first + 16, 0)
    assert (state.policy, state.defer_count) == (1, 32)


def test_a_miss_gives_back_what_it_overlaps(watch: Watch, area: Area) -> None:
    prefer(watch)
    area.blocks(8, 8, 8, 8)
    before = watch.clear().extents
    assert before is not None
    assert area.alloc(12)
    state = watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.pfn, alloc.n_free, alloc.free_pages) == (
        Way.CONTIG, before[0][0], 2, 16)
    assert (state.extents, state.defer_count) == (before[2:], 16)


def test_the_lowest_extent_is_taken(watch: Watch, area: Area) -> None:
    prefer(watch)
    area.blocks(4, 8, 4, 8)
    listed = watch.clear().extents
    assert listed is not None
    assert area.alloc(8)
    watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.pfn) == (Way.HIT, listed[1][0])


def test_other_names_are_refused(watch: Watch, area: Area) -> None:
    for text in ("best-fit", "", "first-fit deferred-first", "1"):
        with pytest.raises(OSError, match=f"Errno {errno.EINVAL}"), FILE.open("wb", 0) as file:
            file.write(text.encode() or b"\n")
    watch.settle()
    assert FILE.read_text() == "first-fit\n"
    assert not watch.seen(Kind.POLICY)


def test_what_is_deferred_stays_so(watch: Watch, area: Area) -> None:
    area.blocks(16)
    FILE.write_text("deferred-first")
    FILE.write_text("first-fit")
    state = watch.settle()
    assert [(one.count, one.ret) for one in watch.seen(Kind.POLICY)] == [(1, 0), (0, 0)]
    assert (state.policy, state.defer_count) == (0, 16)


def test_all_of_it_follows_the_policies(observed: Watch) -> None:
    """Runs last: the verdict on everything above."""
    for _ in range(2):
        observed.settle()
    verdict = observed.observer.view.verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.AGREE, verdict
    coverage = next(one for one in verdict.coverage if one.area == AREA)
    assert coverage.decided > 25  # those between a write of the policy and the next rest are not


def test_threads_under_a_policy_that_is_written_meanwhile(area: Area, tmp_path: Path) -> None:
    done = threading.Event()
    decided = key_of("cmaobs_model_decided_total", area=AREA)

    def write() -> None:
        for name in ("deferred-first", "first-fit", "deferred-first"):
            FILE.write_text(name)
            if done.wait(4):
                return

    writer = threading.Thread(target=write)
    try:
        with Serve(tmp_path) as serve:
            writer.start()
            summary = load("--source", "debugfs", "--threads", "8", "--rate", "25",
                           "--operations", "900", "--sizes", "1,4,16,64,256",
                           "--lifetime", "0-40", "--share", "90", "--reserve", "0", "--area", AREA,
                           "--scan", "16-256", "--scan-rate", "20", "--batch", "0,16,64",
                           "--batch-rate", "1")
            done.set()
            writer.join()
            FILE.write_text("deferred-first")
            area.blocks(4, 16, 4)
            serve.settled()
            after = serve.settled()
            deadline = time.monotonic() + PATIENCE_S
            # After each write none is judged until a reading finds all eight threads at rest,
            # which on a slow machine may never be. Here all are, and nobody writes any more.
            while after[decided] <= 100 and time.monotonic() < deadline:
                load("--source", "debugfs", "--threads", "8", "--rate", "25", "--operations",
                     "300", "--sizes", "1,4,16,64,256", "--lifetime", "0-40", "--share", "90",
                     "--reserve", "0", "--area", AREA)
                serve.settled()
                after = serve.settled()
            snapshot = json.loads(cli("snapshot", "--json"))
            doctor = cli("doctor")
            assert summary["allocations"]["succeeded"] > 500, summary
            assert serve.stop() == 0, serve.output()
    finally:
        done.set()
        FILE.write_text("first-fit")
    report = json.loads(cli("replay", str(serve.recording), "--json"))
    assert report["verdict"]["outcome"] == "agree", report["verdict"]
    assert after[key_of("cma_defer_policy_info", area=AREA, policy="deferred-first")] == 1
    assert key_of("cma_defer_policy_info", area=AREA, policy="first-fit") not in after
    assert {one["name"]: one["policy"] for one in snapshot["areas"]}[AREA] == "deferred-first"
    assert f"{AREA} deferred-first" in doctor
    seen = after[key_of("cmaobs_model_operations_total", area=AREA)]
    assert seen > 500
    assert after[decided] > 100
