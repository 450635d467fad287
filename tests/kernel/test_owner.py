# SPDX-License-Identifier: GPL-2.0
"""Who allocated what was there before the observer came, on a kernel with page_owner=on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kernel.holders import Holder
from kernel.tools import AREA, Area, cli

pytestmark = [pytest.mark.kernel, pytest.mark.patched("owner")]


def test_snapshot_names_who_allocated_and_nobody_else(area: Area) -> None:
    area.batch(0)  # pages that are granted from the deferred list show who had them before
    camera = Holder("who-camera")
    try:
        assert camera("alloc", 16).isdecimal()
        assert area.alloc(24)
        assert camera("debugfs", 40) == "ok"
        area.free(8)  # of the 40
        data = json.loads(cli("snapshot", "--json"))
        found = next(one for one in data["areas"] if one["name"] == AREA)
        rows = {(row["comm"], row["pid"], row["driver"]): row["held_pages"]
                for row in found["holders"]["callers"]}
        assert rows == {
            ("who-camera", camera.process.pid, "dma-buf heap"): 16,
            ("who-camera", camera.process.pid, "debugfs"): 32,
            (Path("/proc/self/comm").read_text().strip(), os.getpid(), "debugfs"): 24}
        assert {row["kind"] for row in found["holders"]["callers"]} == {"before"}
        assert found["holders"]["pages"]["before"] == area.debugfs("used") == 72
        assert all(0 < row["oldest_s"] < 600 for row in found["holders"]["callers"])
        text = cli("snapshot")
        assert f"who-camera[{camera.process.pid}], dma-buf heap, allocated before" in text
    finally:
        camera.kill()
