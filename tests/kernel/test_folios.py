# SPDX-License-Identifier: GPL-2.0
"""cma_alloc_folio(): served from the deferred list as cma_alloc() is, released to the buddy.

The test-only patches for 6.12 let debugfs allocate a folio.
"""

from __future__ import annotations

import os
import struct

import pytest

from cmaobs.events import Kind
from cmaobs.events import Path as Way
from cmaobs.verdict import Outcome
from kernel.tools import AREA, Area
from kernel.watch import Watch

pytestmark = [pytest.mark.kernel, pytest.mark.patched("yes"), pytest.mark.source("6.12")]

ORDER = 10  # MAX_PAGE_ORDER: pages of a lower one may be part of a larger buddy
PAGES = 1 << ORDER
HEAD, TAIL = 1 << 15, 1 << 16  # KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL


def compound(pfn: int) -> list[int]:
    """Of each page of a folio's length, whether it is a head or a tail; /proc/kpageflags."""
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        raw = os.pread(file.fileno(), PAGES * 8, pfn * 8)
    return [flags & (HEAD | TAIL) for flags in struct.unpack(f"={PAGES}Q", raw)]


FOLIO = [HEAD] + [TAIL] * (PAGES - 1)


def test_a_folio_is_a_hit_and_goes_back_to_the_buddy(watch: Watch, area: Area) -> None:
    area.blocks(PAGES)
    assert area.alloc_folio(ORDER)
    state = watch.settle()
    hit = watch.seen(Kind.ALLOC)[-1]
    assert (hit.path, hit.count, hit.align, hit.n_contig) == (Way.HIT, PAGES, ORDER, 0)
    assert (hit.defer_entry, hit.defer_exit, state.extents) == (PAGES, 0, ())
    assert compound(hit.pfn) == FOLIO

    area.free(PAGES)
    state = watch.settle()
    release = watch.seen(Kind.RELEASE)[-1]
    assert (release.path, release.pfn, release.count) == (Way.DIRECT, hit.pfn, PAGES)
    assert release.batch > 0
    assert (state.defer_count, state.allocated) == (0, ())

    assert area.alloc(PAGES)
    watch.settle()
    again = watch.seen(Kind.ALLOC)[-1]
    assert (again.path, again.pfn) == (Way.CONTIG, hit.pfn)
    assert compound(hit.pfn) == [0] * PAGES, "separate pages"


def test_a_folio_from_the_buddy_flushes_first(watch: Watch, area: Area) -> None:
    area.blocks(16)
    assert area.alloc_folio(ORDER)
    watch.settle()
    miss = watch.seen(Kind.ALLOC)[-1]
    assert (miss.path, miss.count, miss.n_contig, miss.free_pages) == (Way.CONTIG, PAGES, 1, 16)
    assert compound(miss.pfn) == FOLIO
    area.free(PAGES)


def test_half_of_an_extent_becomes_a_folio(watch: Watch, area: Area) -> None:
    """The rest stays on the list, as separate pages."""
    area.blocks(2 * PAGES)
    assert area.alloc_folio(ORDER)
    state = watch.settle()
    hit = watch.seen(Kind.ALLOC)[-1]
    assert hit.path == Way.HIT
    assert state.extents == ((hit.pfn + PAGES, PAGES),)
    assert compound(hit.pfn) == FOLIO
    assert compound(hit.pfn + PAGES) == [0] * PAGES
    area.free(PAGES)


def test_an_order_of_0_is_refused(watch: Watch, area: Area) -> None:
    """Nothing is tried, whatever is free."""
    assert not area.alloc_folio(0)
    watch.settle()
    alloc, = watch.seen(Kind.ALLOC)
    assert (alloc.path, alloc.count, alloc.n_contig) == (Way.FAILED, 0, 0)


def test_z_the_model_agrees_with_all_of_it(observed: Watch) -> None:
    observed.settle()
    verdict = observed.observer.view.verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.AGREE, (verdict.reasons, verdict.divergences)
    coverage = {c.area: c for c in verdict.coverage}[AREA]
    assert coverage.decided >= 14
