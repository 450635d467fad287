# SPDX-License-Identifier: GPL-2.0
"""What shows a defect: the smallest workload on the live kernel that provokes it, for one thread.

Each runs on the correct kernel as well, where it must be lawful.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cmaobs.load import targets
from cmaobs.load.area import Area as LoadArea
from kernel.starving import starved
from kernel.tools import AREA, Area

SWITCH = Path("/sys/kernel/debug/cma_defect")
BATCH = 8


def switch(name: str) -> None:
    """Turn a defect on; "none" off; "mend" off, repaired; "empty" mended, and the areas freed."""
    SWITCH.write_text(name)


def made() -> int:
    """How often the defect that is on made a difference."""
    return int(SWITCH.read_text().split("\n", 1)[0])


def known() -> list[str]:
    """The names that the kernel has."""
    return [name.strip("[]") for name in SWITCH.read_text().split()[2:]]


class Bench(NamedTuple):
    """What a workload has at hand. pause: until the kernel was read at rest."""

    area: Area
    codec: Area
    pause: Callable[[], None]

    def pair(self, pages: int = 16) -> None:
        """Allocate and release."""
        self.area.blocks(pages)


Work = Callable[[Bench], None]


def twice(b: Bench) -> None:
    """The second allocation is a hit of a whole extent."""
    b.pair()
    b.area.alloc(16)
    b.pause()
    b.area.free(16)


def head(b: Bench) -> None:
    """A hit takes the head of an extent."""
    b.pair()
    b.area.alloc(4)
    b.pause()
    b.area.free(4)


def middle(b: Bench) -> None:
    """A hit inside an extent; see test_rules.py for why this takes several pages to a bit."""
    b.codec.alloc(7)
    b.codec.free(7)
    b.codec.alloc(2)
    b.codec.alloc(1)
    b.pause()
    b.codec.free(1 << 20)


def middle_without_memory(b: Bench) -> None:
    """The same where there is no memory for the second remainder."""
    b.codec.alloc(7)
    b.codec.free(7)
    b.codec.alloc(2)
    starved(b.codec, "alloc", 1, space=33, sleeping=True)  # debugfs takes 32 bytes first
    b.pause()
    b.codec.free(1 << 20)


def older(b: Bench) -> None:
    """A hit of the extent that is not the newest."""
    b.area.alloc(16)
    b.area.alloc(16)
    b.area.free(8)
    b.area.free(8)
    b.area.alloc(8)
    b.pause()
    b.area.free(1 << 20)


def miss(b: Bench) -> None:
    """Two adjacent extents, and a third one; the run lies in the first two."""
    b.area.blocks(8, 8, 8)
    b.area.alloc(16)
    b.pause()
    b.area.free(16)


def release(b: Bench) -> None:
    """One release."""
    b.pair()
    b.pause()


def releases(b: Bench) -> None:
    """Three releases."""
    b.area.blocks(8, 8, 8)
    b.pause()


def release_without_memory(b: Bench) -> None:
    """The extent's kmalloc() fails."""
    b.area.alloc(16)
    starved(b.area, "free", 16)
    b.pause()


def direct(b: Bench) -> None:
    """A release while batch is 0."""
    b.area.batch(0)
    b.pair()
    b.pause()
    b.area.batch(BATCH)


def counts(b: Bench) -> None:
    """The shrinker's count, of nothing and of something."""
    b.area.batch(0)
    b.area.batch(BATCH)
    b.area.count()
    b.area.blocks(8, 8)
    b.area.count()
    b.area.count()


def scan(pages: int) -> Work:
    """A scan of three extents of 16 pages."""
    def work(b: Bench) -> None:
        b.area.blocks(16, 16, 16)
        b.area.scan(pages)
        b.pause()
    work.__doc__ = f"A scan of {pages} pages where three extents of 16 are listed, batch is {BATCH}"
    return work


def batch_0(b: Bench) -> None:
    """batch is set to 0 while something is deferred."""
    b.pair()
    b.area.batch(0)
    b.pause()
    b.area.batch(BATCH)


def reclaim(b: Bench) -> None:
    """drop_caches, with a batch above the core's default of 128 pages."""
    b.area.batch(256)
    b.pair(1024)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    b.pause()
    b.area.batch(BATCH)


def fit(b: Bench) -> None:
    """Two allocations side by side."""
    b.area.alloc(4)
    b.area.alloc(4)
    b.area.free(4)
    b.area.free(4)


def aligned(b: Bench) -> None:
    """A dma-buf of 16 pages, which asks for alignment, after a single page."""
    b.area.alloc(1)
    _, heap = targets.make(LoadArea(Path("/"), AREA, None), "heap", False)
    heap.release(heap.alloc(16))
    heap.close()
    b.area.free(1)


def busy(b: Bench) -> None:
    """The lowest run is busy: a page in it has an owner and a clear bit."""
    b.area.alloc(4)
    b.pause()
    b.area.free(4)
