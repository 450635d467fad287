# SPDX-License-Identifier: GPL-2.0
"""Each rule of the mechanism provoked on purpose on the live kernel, and seen by the observer.

The observer runs in this process, so that a test can look at the records of
exactly what it did. At the end the model must agree with all of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cmaobs.events import SHRINK_EMPTY, SHRINK_STOP, Kind
from cmaobs.events import Path as Way
from cmaobs.verdict import Outcome
from kernel.pinning import pinned_page
from kernel.starving import starved
from kernel.tools import AREA, Area
from kernel.watch import Watch

pytestmark = [pytest.mark.kernel, pytest.mark.patched("yes")]


def test_r1_release_with_batch_0_is_direct(watch: Watch, area: Area) -> None:
    area.batch(0)
    area.blocks(16)
    state = watch.settle()
    release, = watch.seen(Kind.RELEASE)
    assert (release.path, release.n_free, release.free_pages) == (Way.DIRECT, 1, 16)
    assert (state.defer_count, state.extents, state.allocated) == (0, (), ())


def test_r2_release_is_deferred(watch: Watch, area: Area) -> None:
    area.blocks(16)
    state = watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    release, = watch.seen(Kind.RELEASE)
    assert (release.path, release.n_free, release.pfn) == (Way.DEFERRED, 0, alloc.pfn)
    assert (release.defer_entry, release.defer_exit) == (0, 16)
    assert state.extents == ((alloc.pfn, 16),)
    assert (state.defer_count, state.allocated) == (16, ())
    assert area.sysfs("defer_count") == 16


def test_r2_newest_extent_is_first(watch: Watch, area: Area) -> None:
    area.blocks(8, 8, 8)
    state = watch.settle()
    assert state.extents == tuple((r.pfn, 8) for r in reversed(watch.seen(Kind.RELEASE)))


def test_r3_release_without_memory_is_direct(watch: Watch, area: Area) -> None:
    """failslab lets this task's next kmalloc that may not sleep fail."""
    assert area.alloc(16)
    starved(area, "free", 16)
    state = watch.settle()
    release, = watch.seen(Kind.RELEASE)
    assert (release.path, release.free_pages) == (Way.DIRECT, 16)
    assert release.batch > 0
    assert (state.defer_count, state.extents, state.allocated) == (0, (), ())


def test_r4_first_fit(watch: Watch, area: Area) -> None:
    for pages in (4, 4, 4):
        assert area.alloc(pages)
    state = watch.settle()
    base = state.facts.base_pfn
    assert [r.pfn - base for r in watch.seen(Kind.ALLOC)] == [0, 4, 8]
    assert state.allocated == ((base, 12),)


@pytest.mark.parametrize(("name", "released", "taken", "left"), [
    ("whole", 16, 16, ()),
    ("head", 16, 4, ((4, 12),)),
])
def test_r5_hit(watch: Watch, area: Area, name: str, released: int, taken: int,
                left: tuple[tuple[int, int], ...]) -> None:
    area.blocks(released)
    assert area.alloc(taken)
    state = watch.settle()
    base = state.facts.base_pfn
    hit = watch.seen(Kind.ALLOC)[-1]
    assert (hit.path, hit.n_contig, hit.n_free, hit.pfn) == (Way.HIT, 0, 0, base), name
    assert (hit.defer_entry, hit.defer_exit) == (released, released - taken)
    assert state.extents == tuple((base + pfn, count) for pfn, count in left)
    assert state.allocated == ((base, taken),)


def test_r5_hit_splits_at_the_tail_and_in_the_middle(watch: Watch, area: Area) -> None:
    """First fit takes an extent's head, unless a bit stands for several pages.

    In an area of 4 pages to a bit, 2 pages of an extent of 7 take the first
    bit; the run after it begins at the second bit, inside what is left.
    """
    codec = Area("codec", True)
    codec.reset()
    base = codec.debugfs("base_pfn")
    assert codec.alloc(7)
    codec.free(7)
    assert codec.alloc(2)
    assert codec.alloc(1)
    assert codec.alloc(0) is False
    watch.settle()
    allocs = [r for r in watch.seen(Kind.ALLOC) if r.pfn]
    assert [(r.path, r.pfn - base, r.count) for r in allocs] == [
        (Way.CONTIG, 0, 7), (Way.HIT, 0, 2), (Way.HIT, 4, 1)]
    state = next(s for s in watch.observer.view.reading.states if s.facts.name == "codec")
    # 2..3 was split off in front, 5..6 behind: both stay deferred
    assert sorted(state.extents) == [(base + 2, 2), (base + 5, 2)]
    assert state.defer_count == 4
    codec.reset()


def test_r6_miss_flushes_everything(watch: Watch, area: Area) -> None:
    """Two adjacent extents do not make one."""
    assert area.alloc(8)
    area.blocks(8)
    area.free(8)
    assert area.alloc(16)
    state = watch.settle()
    miss = watch.seen(Kind.ALLOC)[-1]
    contig = watch.seen(Kind.CONTIG)[-1]
    frees = watch.seen(Kind.FREE)
    assert (miss.path, miss.n_contig, miss.n_free, miss.free_pages) == (Way.CONTIG, 1, 2, 16)
    assert sorted(f.count for f in frees) == [8, 8]
    assert max(f.end_ns for f in frees) <= contig.start_ns
    assert (miss.defer_entry, miss.defer_exit, state.extents) == (16, 0, ())
    assert state.allocated == ((miss.pfn, 16),)


def test_r6_nothing_deferred_is_the_plain_path(watch: Watch, area: Area) -> None:
    assert area.alloc(16)
    watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.n_contig, alloc.n_free) == (Way.CONTIG, 1, 0)


def test_r7_busy_pages_are_passed_by(watch: Watch, area: Area) -> None:
    """A page of the area that a pipe refers to cannot move: the contig call returns -EBUSY."""
    base = area.debugfs("base_pfn")
    with pinned_page(base, area.debugfs("count")) as pfn:
        before = pfn - base - 1
        assert area.alloc(before)
        watch.clear()
        assert area.alloc(4)
        watch.settle()
        alloc, = watch.seen(Kind.ALLOC)
        tries = [(c.pfn - pfn, c.count, c.ret) for c in watch.seen(Kind.CONTIG)]
        assert tries == [(-1, 4, -16), (0, 4, -16), (1, 4, 0)]
        assert (alloc.path, alloc.n_contig, alloc.pfn) == (Way.CONTIG, 3, pfn + 1)


def test_r7_nothing_left_fails(watch: Watch, area: Area) -> None:
    pages = area.debugfs("count")
    assert not area.alloc(pages + 1)
    watch.settle()
    oversize, = watch.seen(Kind.ALLOC)
    assert (oversize.path, oversize.ret, oversize.n_contig) == (Way.FAILED, -12, 0)


def test_r8_count(watch: Watch, area: Area) -> None:
    assert area.count() == 0
    area.blocks(16)
    assert area.count() == 16
    watch.settle()
    assert [r.ret for r in watch.seen(Kind.COUNT)] == [SHRINK_EMPTY, 16]


def test_r9_scan_below_batch_frees_nothing(watch: Watch, area: Area) -> None:
    area.batch(8)
    area.blocks(16)
    area.scan(7)
    state = watch.settle()
    scan, = watch.seen(Kind.SCAN)
    assert (scan.count, scan.ret, scan.n_free) == (7, SHRINK_STOP, 0)
    assert state.defer_count == 16


def test_r9_scan_frees_exactly_and_splits_the_last(watch: Watch, area: Area) -> None:
    area.batch(8)
    area.blocks(16, 16, 16)
    before = watch.clear()
    area.scan(20)
    state = watch.settle()
    scan, = watch.seen(Kind.SCAN)
    assert (scan.count, scan.ret, scan.free_pages) == (20, 20, 20)
    assert (scan.defer_entry, scan.defer_exit, state.defer_count) == (48, 28, 28)
    frees = watch.seen(Kind.FREE)
    assert (frees[0].pfn, frees[0].count) == before.extents[0]
    assert sum(count for _, count in state.extents) == 28


def test_r9_scan_of_more_than_there_is_frees_all(watch: Watch, area: Area) -> None:
    area.blocks(16)
    area.scan(1000)
    state = watch.settle()
    scan, = watch.seen(Kind.SCAN)
    assert (scan.ret, scan.free_pages, state.defer_count, state.extents) == (16, 16, 0, ())


def test_batch_0_gives_everything_back(watch: Watch, area: Area) -> None:
    area.blocks(16, 16, 16)
    assert area.batch(0)
    state = watch.settle()
    write, = watch.seen(Kind.BATCH)
    assert (write.count, write.ret, write.n_free, write.free_pages) == (0, 0, 3, 48)
    assert (state.batch, state.defer_count, state.extents) == (0, 0, ())
    assert area.sysfs("defer_count") == 0


def test_batch_above_the_area_is_refused(watch: Watch, area: Area) -> None:
    before = area.sysfs("batch")
    assert not area.batch(area.debugfs("count") + 1)
    assert area.sysfs("batch") == before
    watch.settle()
    write, = watch.seen(Kind.BATCH)
    assert write.ret == -22


def test_reclaim_scans_in_steps_of_batch(watch: Watch, area: Area) -> None:
    """drop_caches goes through the core's loop, which passes at most shrinker.batch."""
    area.batch(256)
    area.blocks(1024)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    state = watch.settle()
    scans = watch.seen(Kind.SCAN)
    assert scans, "reclaim scanned"
    assert {s.count for s in scans} == {256}
    assert state.defer_count is not None
    assert state.defer_count < 1024


def test_z_the_model_agrees_with_all_of_it(observed: Watch) -> None:
    observed.settle()
    verdict = observed.observer.view.verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.AGREE, (verdict.reasons, verdict.divergences)
    coverage = {c.area: c for c in verdict.coverage}[AREA]
    assert coverage.decided > 50
    assert coverage.rests > 30
