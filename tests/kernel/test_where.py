# SPDX-License-Identifier: GPL-2.0
"""Where the pages of the areas are, against what the kernel itself counts."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

import pytest

from cmaobs.kernel.page_flags import read
from kernel.tools import AREA, Area, cli

pytestmark = pytest.mark.kernel
MOVED = 256  # pages that others may take or give back while flags are read


def memory(key: str) -> int:
    """Pages, from /proc/meminfo."""
    found = re.search(rf"^{key}: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 // mmap.PAGESIZE


def test_pages_lent_to_processes_are_told_from_those_in_the_buddy(
        area: Area, patched: bool) -> None:
    assert area.alloc(40)
    assert area.alloc(24)
    area.free(24)
    free = memory("CmaFree")
    size = memory("MemAvailable") * 9 // 10 * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        for at in range(0, size, mmap.PAGESIZE):
            held[at] = 1
            if at % (256 * mmap.PAGESIZE) == 0 and free - memory("CmaFree") > 4000:
                break
        lent = free - memory("CmaFree")
        found = {one["name"]: one for one in json.loads(cli("snapshot", "--json"))["areas"]}
        # not by a process of its own, which would lend pages itself and give them back
        before = memory("CmaFree")
        placed = read(sorted((one["base_pfn"], one["pages"]) for one in found.values()))
        after = memory("CmaFree")
    assert lent > 4000, "the memory that was filled reached CMA"
    assert not placed.fault
    pages = {name: {place: sum(run[1] for run in runs) for place, runs in one["places"].items()}
             for name, one in found.items()}
    for name, one in found.items():
        assert sum(pages[name].values()) == one["pages"]
        assert "places_fault" not in one
    assert pages[AREA]["allocated"] == 40
    assert pages[AREA].get("deferred") == (24 if patched else None)
    assert sum(one["lent"] for one in pages.values()) > lent / 2
    others = sum(count for _, count in (*placed.lent, *placed.elsewhere))
    buddy = sum(one["pages"] for one in found.values()) - others
    assert min(before, after) - MOVED < buddy < max(before, after) + MOVED


def test_the_map_is_drawn_at_the_grain_asked_for(area: Area) -> None:
    assert area.alloc(1024)
    drawn = cli("snapshot", "--grain", "pageblock")
    block, = re.findall(r"^Pages per block: +(\d+)$", Path("/proc/pagetypeinfo").read_text(),
                        re.MULTILINE)
    blocks = "#" * (1024 // int(block))
    assert re.search(rf"^ +{block} pages a character: .*# allocated", drawn, re.MULTILINE)
    assert re.search(rf"^ +{area.debugfs('base_pfn'):#010x}  {blocks}[^#]", drawn, re.MULTILINE)
