# SPDX-License-Identifier: GPL-2.0
"""Each cause of failure and each phase, provoked on purpose before observers, one a way to attach.

Operations are told from each other by how many pages they ask for.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cmaobs.events import Kind, Record, decode
from cmaobs.load import targets
from cmaobs.load.area import Area as LoadArea
from cmaobs.phases import Phased
from cmaobs.phases import decode as decode_phased
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch
from kernel.pinning import lent, pinned_page
from kernel.slowing import clean_cache, slow_function, slow_tracer
from kernel.stalling import draining_stalled, wait_inside
from kernel.starving import without_memory
from kernel.tools import AREA, PATIENCE_S, Area, Sample, Serve, cli

CAUSES = ["fragmented", "no_room", "alignment", "oversize", "zero", "interrupted", "no_memory",
          "busy", "busy"]
"""In the order in which Scene provokes them."""
ERRNOS = ["ENOMEM"] * 5 + ["EINTR", "ENOMEM", "EBUSY", "EBUSY"]
QUIET, SMALL, KILLED, WAITS, FLUSHES = 512, 3, 2048, 17, 16
TESTED, ISOLATED, GIVEN_BACK = 513, 514, 515
SLOWED = 3  # times, of which another task on the processor does not disturb all
CLEAN = 2048  # pages of files, at least
LENT = 1000


class Scene:
    """What was done, before the observers, and what each of them says of it."""

    def __init__(self, serves: list[Serve], patched: bool) -> None:
        self._serves = serves
        self.area = Area(AREA, patched)
        self.area.batch(0)
        self.base, self.count = self.area.debugfs("base_pfn"), self.area.debugfs("count")
        self._quiet()
        if patched:
            self._flushed()
        for _ in range(SLOWED):
            # compaction has the first event as well, and _stalled() lets it run
            self._slow("mm_compaction_isolate_freepages", ISOLATED)
            self._slow("test_pages_isolated", TESTED)
            # the rest of the buddy's block of 1024 pages, page by page
            self._slow("mm_page_free", GIVEN_BACK, 1024 - GIVEN_BACK)
        self._no_run()
        self._no_alignment()
        assert not self.area.alloc(self.count + 1)
        assert not self.area.alloc(0)
        self._stalled()
        self._moved()
        self.pinned = [self._pinned(shared) for shared in (False, True)]
        self.samples: list[dict[Sample, float]] = [serve.settled() for serve in serves]
        self.latest: list[list[dict[str, Any]]] = [_view(serve)["failures"] for serve in serves]
        self.status = [serve.stop() for serve in serves]
        self.output = [serve.output() for serve in serves]
        self.told = [told(json.loads(cli("replay", str(one.recording), "--json")))
                     for one in serves]
        self.records, self.phased = zip(*(_recorded(one.recording) for one in serves), strict=True)

    def _reset(self) -> None:
        self.area.free(1 << 20)

    def _quiet(self) -> None:
        """Nothing is in the way: of some pages, of few, and of all that there are."""
        for pages, times in ((QUIET, 7), (SMALL, 5), (self.count, 5)):
            for _ in range(times):
                assert self.area.alloc(pages)
                self._reset()

    def _flushed(self) -> None:
        """Two extents, neither of which holds what is asked for, go back to the buddy."""
        for _ in range(SLOWED):
            self.area.batch(64)
            self.area.blocks(8, self.count // 2)
            with slow_function("free_contig_range"):
                assert self.area.alloc(FLUSHES)
            self.area.batch(0)
            self._reset()

    def _no_run(self) -> None:
        """1500 pages are clear, 1096 at the end are, and what is between them is allocated."""
        assert self.area.alloc(self.count - 1096)
        self.area.free(1500)
        assert not self.area.alloc(2000)
        assert not self.area.alloc(2597)
        self._reset()

    def _no_alignment(self) -> None:
        """Pages 1 to 300 are clear; a dma-buf of 256 pages asks for a multiple of 256."""
        assert self.area.alloc(1)
        assert self.area.alloc(self.count - 1)
        self.area.free(300)
        _, heap = targets.make(LoadArea(Path("/"), AREA, None), "heap", False)
        with contextlib.closing(heap), pytest.raises(OSError, match="Cannot allocate"):
            heap.alloc(256)
        self._reset()

    def _stalled(self) -> None:
        """One thread sleeps in lru_cache_disable(), with the mutex that another waits for."""
        with draining_stalled():
            killed = _writes(KILLED)
            wait_inside(killed)
            waits = _writes(WAITS)
            wait_inside(waits)
            time.sleep(1)
            killed.kill()
        assert killed.wait(PATIENCE_S) == -signal.SIGKILL
        assert waits.wait(PATIENCE_S) == 0
        self._reset()

    def _slow(self, event: str, pages: int, times: int = 1) -> None:
        with slow_tracer(event, times):
            assert self.area.alloc(pages)
        self._reset()

    def _moved(self) -> None:
        """Lent pages find no place to go to; then they move; then files are in the way."""
        with lent(self.base, self.count, LENT):
            assert not without_memory(self.area, self.count - 2)
        for _ in range(SLOWED):
            # so many of those that are asked for: elsewhere they would be in nobody's way
            with lent(self.base, self.count - 1024, LENT):
                self._slow("mm_migrate_pages", self.count - 1024, LENT // 32)
            clean_cache(self.base, self.count - 1025, CLEAN)
            self._slow("mm_filemap_delete_from_page_cache", self.count - 1025, CLEAN)

    def _pinned(self, shared: bool) -> int:
        """A pipe refers to a page that is lent: nothing with it in can be had."""
        with pinned_page(self.base, self.count, shared) as pinned:
            before = pinned - self.base - 1
            assert self.area.alloc(before)
            assert not self.area.alloc(self.count - before)
            assert self.area.alloc(4)  # tries the page before it, it, and gets what follows
            for serve in self._serves:  # by then it has been read
                serve.settled()
        self._reset()
        return pinned

    def of(self, way: int, pages: int) -> list[Phased]:
        """The phases of the allocations of so many pages, by what that way saw."""
        starts = {record.start_ns for record in self.records[way]
                  if record.kind == Kind.ALLOC and record.count == pages}
        return [one for one in self.phased[way] if one.start_ns in starts]


def _writes(pages: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", f"echo {pages} >/sys/kernel/debug/cma/{AREA}/alloc"])


def told(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of the area."""
    found: dict[str, Any] = next(one for one in summary["areas"] if one["name"] == AREA)
    return found


def _view(serve: Serve) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(serve.get("/view.json"))
    return found


def _recorded(path: Path) -> tuple[list[Record], list[Phased]]:
    """Of the area, of which there may be others beside."""
    with contextlib.closing(RecordingSource(str(path))) as source:
        index = next(facts.index for facts in source.areas if facts.name == AREA)
        steps = [one for one in source.steps() if isinstance(one, Batch)]
    return ([record for one in steps for record in decode(one.data) if record.area == index],
            [phased for one in steps for phased in decode_phased(one.phased)
             if phased.area == index])
