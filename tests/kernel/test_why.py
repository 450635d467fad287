# SPDX-License-Identifier: GPL-2.0
"""Causes of failure and phases, as a scene provokes them: the observers name each, and no other."""

from __future__ import annotations

import contextlib
import json
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cmaobs.events import Kind
from cmaobs.phases import NAMES, Phased
from kernel.scene import (
    CAUSES,
    CLEAN,
    ERRNOS,
    FLUSHES,
    GIVEN_BACK,
    ISOLATED,
    KILLED,
    LENT,
    QUIET,
    SLOWED,
    TESTED,
    WAITS,
    Scene,
    told,
)
from kernel.tools import AREA, CMAOBS, PATIENCE_S, WAYS, Area, Serve, cli, key_of

pytestmark = pytest.mark.kernel

LONG = ("waiting", "draining")  # for a second


def _least(ones: list[Phased], phase: str) -> int:
    """ns: what it takes where nothing else runs in it, as other machines on this processor do."""
    return min(one.phases.get(phase, 0) for one in ones)


def _grew(ones: list[Phased], quiet: list[Phased]) -> str:
    """Which phase takes longer than in those, by most.

    Not what is unexplained: the other observer's probes are in that, a dozen for each 32 pages.
    """
    return max(NAMES[:-1], key=lambda name: _least(ones, name) - _least(quiet, name))


@pytest.fixture(scope="module")
def scene(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    area = Area(AREA, patched)
    area.reset()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        made = [Serve(tmp_path_factory.mktemp(how), "--attach", how, "--phases", "yes",
                      "--callers", "no", "--interval", "500ms") for how in WAYS]
        yield Scene(list(pool.map(stack.enter_context, made)), patched)
    area.reset()


@pytest.mark.parametrize("way", range(len(WAYS)), ids=WAYS)
class TestCauses:
    def test_each_is_counted_and_no_other(self, scene: Scene, way: int) -> None:
        found = {dict(labels)["cause"]: value
                 for (name, labels), value in scene.samples[way].items()
                 if name == "cma_alloc_failure_causes_total" and dict(labels)["area"] == AREA}
        assert {cause: value for cause, value in found.items() if value} == {
            cause: CAUSES.count(cause) for cause in CAUSES}
        assert len(found) > len(set(CAUSES)), "those of which there was none are told as 0"
        errnos = sum(value for (name, labels), value in scene.samples[way].items()
                     if name == "cma_alloc_failures_total" and dict(labels)["area"] == AREA)
        assert errnos == len(CAUSES)

    def test_each_is_told_with_its_numbers(self, scene: Scene, way: int) -> None:
        latest = scene.latest[way]
        assert [(one["area"], one["cause"]) for one in latest] == [(AREA, one) for one in CAUSES]
        told = [one["told"] for one in latest]
        assert told[:4] == [
            "asked for 2000 pages; 2596 were clear, 1500 in the longest run",
            "asked for 2597 pages; 2596 were clear, 1500 in the longest run",
            "asked for 256 pages; 300 were clear, 300 in the longest run, none at a multiple of "
            "256 pages", f"asked for {scene.count + 1} pages of an area that has {scene.count}"]
        assert told[6] == (f"asked for {scene.count - 2} pages; alloc_contig_range() returned -12 "
                           "at the last of 1 place")
        assert [one["errno"] for one in latest] == ERRNOS
        assert [one["tries"] for one in latest] == [*[0] * 5, 1, 1, 1, 1]

    @pytest.mark.parametrize(("which", "has", "has_not"), [
        (0, {"anon", "mmap"}, set()), (1, {"swapbacked", "mmap"}, {"anon"})],
        ids=["anonymous", "tmpfs"])
    def test_the_page_that_a_pipe_refers_to_is_named(
            self, scene: Scene, way: int, which: int, has: set[str], has_not: set[str]) -> None:
        """With the reference that its mapping does not explain."""
        pinned = scene.pinned[which]
        place, = scene.latest[way][-2 + which]["busy"]
        assert (place["pfn"], place["stayed"]) == (pinned - 1, pinned)
        page = place["page"]
        assert (page["pfn"], page["mapped"]) == (pinned, 1)
        assert has <= set(page["flags"])
        assert not has_not & set(page["flags"])
        assert page["references"] > 1
        assert 0 < place["after_s"] < 60
        assert f"page {pinned:#x} stayed" in scene.output[way]
        assert "more than its users explain" in scene.output[way]

    def test_retries_are_counted(self, scene: Scene, way: int) -> None:
        tries = [record.n_contig for record in scene.records[way]
                 if record.kind == Kind.ALLOC and record.n_contig > 1]
        assert [(one.n_contig, one.pfn) for one in scene.records[way]
                if one.kind == Kind.ALLOC and one.count == 4] == [
                    (3, pinned + 1) for pinned in scene.pinned]
        for name, value in (("cma_alloc_retries_total", sum(tries) - len(tries)),
                            ("cma_alloc_retried_total", len(tries))):
            assert scene.samples[way][key_of(name, area=AREA)] == value > 0

    def test_a_recording_tells_the_same(self, scene: Scene, way: int) -> None:
        assert scene.status[way] == 0, scene.output[way]
        told = scene.told[way]
        assert told["failure_causes"] == {cause: CAUSES.count(cause) for cause in CAUSES}
        live = [{name: value for name, value in one.items() if name != "pages_told"}
                for one in scene.latest[way]]  # the page's words for busy pages
        assert sorted(told["latest_failures"], key=str) == sorted(live, key=str)


@pytest.mark.parametrize("way", range(len(WAYS)), ids=WAYS)
class TestPhases:
    def test_they_add_up_to_each_allocation(self, scene: Scene, way: int) -> None:
        """Each that called alloc_contig_range() has its phases, which miss nothing of it."""
        allocated = {(one.start_ns, one.end_ns): one for one in scene.records[way]
                     if one.kind == Kind.ALLOC and one.n_contig}
        phased = {(one.start_ns, one.end_ns): one for one in scene.phased[way]}
        assert phased.keys() == allocated.keys()
        assert not [one for one in phased.values() if one.missed]
        for one in phased.values():
            assert sum(one.phases.values()) == one.whole_ns
            assert {"isolating", "draining", "unexplained"} <= one.phases.keys()
        quiet = scene.of(way, QUIET)
        assert len(quiet) == 7
        for one in quiet:
            assert {"reclaiming", "migrating", "testing"} <= one.phases.keys()
            assert not {"waiting", "flushing"} & one.phases.keys()

    @pytest.mark.parametrize(("phase", "pages"), [
        ("waiting", WAITS), ("isolating", ISOLATED), ("isolating", GIVEN_BACK),
        ("draining", KILLED), ("testing", TESTED),
        ("migrating", -1024), ("reclaiming", -1025),
        pytest.param("flushing", FLUSHES, marks=pytest.mark.patched("yes"))])
    def test_what_was_made_long_is_what_grew(self, scene: Scene, way: int, phase: str,
                                             pages: int) -> None:
        """Of many pages beside one of as many. What takes very long is explained but for 5 %."""
        found = scene.of(way, pages % scene.count)
        assert len(found) == (1 if pages in (WAITS, KILLED) else SLOWED)
        like = scene.of(way, QUIET if pages > 0 else scene.count)
        assert _grew(found, like) == phase, [one.phases for one in found]
        one = min(found, key=lambda one: one.whole_ns)
        share = one.phases["unexplained"] / one.whole_ns
        print(f"{phase}: {one.whole_ns / 1e6:.1f} ms, unexplained {share:.1%}")
        if phase in LONG:  # of the others it is more where another task had the processor
            assert share < 0.05, one.phases
        assert not ({"waiting", "flushing"} - {phase}) & one.phases.keys()

    def test_what_stays_unexplained_is_told(self, scene: Scene, way: int) -> None:
        """Where nothing is in the way: mostly the probes, which docs/why.md has measured."""
        quiet = scene.of(way, QUIET)
        median = statistics.median(one.phases["unexplained"] for one in quiet)
        shares = sorted(one.phases["unexplained"] / one.whole_ns for one in quiet)
        print(f"unexplained: {median / 1e3:.0f} us, {shares[0]:.1%} to {shares[-1]:.1%}")
        spent = scene.told[way]["phases"]
        assert spent["unexplained"]["count"] == len(scene.phased[way])
        assert sum(one["total_s"] for one in spent.values()) == pytest.approx(
            sum(one.whole_ns for one in scene.phased[way]) / 1e9)

    def test_metrics_have_each_allocation_in_each_phase(self, scene: Scene, way: int) -> None:
        for phase in NAMES:
            found = [one.phases[phase] for one in scene.phased[way] if phase in one.phases]
            for what, value in (("count", len(found)), ("sum", sum(found) / 1e9)):
                assert scene.samples[way].get(
                    key_of(f"cma_alloc_phase_duration_seconds_{what}", area=AREA, phase=phase),
                    0) == pytest.approx(value), phase

    def test_pages_are_counted_as_they_move(self, scene: Scene, way: int) -> None:
        moved = {what: scene.samples[way][key_of("cma_alloc_moved_pages_total", area=AREA,
                                                 what=what)]
                 for what in ("isolated", "migrated", "failed", "reclaimed")}
        for what, pages in moved.items():
            assert pages == sum(getattr(one, what) for one in scene.phased[way])
        for migrated in scene.of(way, scene.count - 1024):
            assert migrated.isolated >= migrated.migrated > LENT - 1024 // 2
        for cached in scene.of(way, scene.count - 1025):
            assert cached.reclaimed > CLEAN // 2
        starved, = scene.of(way, scene.count - 2)
        assert (starved.migrated, starved.failed > 0) == (0, True)


@pytest.mark.parametrize("how", WAYS)
def test_check_tells_phases(area: Area, tmp_path: Path, how: str) -> None:
    """The other command that observes: the same columns, live and from the recording."""
    area.batch(0)
    command = [*CMAOBS, "check", "--attach", how, "--phases", "yes", "--callers", "no",
               "--stacks", "no", "--duration", "1h", "--json",
               "--record", str(tmp_path / "check.cmarec")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as check:
        assert check.stderr is not None
        assert any("observing" in line for line in iter(check.stderr.readline, ""))
        for _ in range(3):
            assert area.alloc(QUIET)
            area.free(QUIET)
        time.sleep(3)  # a reading has them
        check.send_signal(signal.SIGINT)
        output, errors = check.communicate(timeout=PATIENCE_S)
    assert check.returncode in (0, 3), errors  # 3: unknown, as where it was never at rest
    live = told(json.loads(output))
    assert live["phases"]["isolating"]["count"] == live["phases"]["unexplained"]["count"] == 3
    assert len(live["slowest"]) == 3
    again = told(json.loads(cli("replay", str(tmp_path / "check.cmarec"), "--json",
                           status=None)))
    assert (again["phases"], again["slowest"]) == (live["phases"], live["slowest"])
