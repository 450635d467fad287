# SPDX-License-Identifier: GPL-2.0
"""`cmaobs top` on a live kernel, by its keys. One observer: it compiles for long."""

from __future__ import annotations

import os
import re

import pytest
from reference.terminal import ENTER, Terminal

from kernel.tools import AREA, CMAOBS, PATIENCE_S, Area

pytestmark = pytest.mark.kernel


def _map(text: str, pages: int) -> tuple[int, str] | None:
    """Pages a character, and the characters, once all of the area's are on the screen."""
    scale = re.search(r"(\d+) pages? a character", text)
    cells = "".join(re.findall(r"^0x[0-9a-f]{8}  ([#=.*]+)", text, re.MULTILINE))
    if scale is None or len(cells) != -(-pages // int(scale[1])):
        return None
    return int(scale[1]), cells


@pytest.mark.patched("yes")
def test_the_screen_shows_what_the_kernel_does(area: Area) -> None:
    held = 1024
    with Terminal([*CMAOBS, "top", "--interval", "500ms"], os.environ, "vt220", lines=40) as top:
        top.match(rf"^{AREA} +\d+ \[\.+\] +0%", PATIENCE_S)
        assert area.alloc(held)
        assert area.alloc(24)
        area.free(24)
        assert not area.alloc(1 << 20)
        # The share held, and what is deferred, as the kernel says it.
        pages = area.debugfs("count")
        share = f"{area.debugfs('used') / pages:.0%}"
        deferred = area.sysfs("defer_count")
        assert deferred == 24
        top.match(rf"^{AREA} +{pages} \[#+=\.+\] +{share} +{deferred} ", PATIENCE_S)
        failure = top.match(rf"{AREA} +{1 << 20} pages +ENOMEM +oversize +(\S+)\[(\d+)\]",
                            PATIENCE_S)
        assert int(failure[2]) == os.getpid()
        top.press(b"t", ENTER)
        top.match(f"deferred {deferred} in 1 extents, batch {area.sysfs('batch')}", PATIENCE_S)
        top.match("failed since the start: ENOMEM 1; oversize 1", PATIENCE_S)
        text = top.until(lambda text: _map(text, pages) is not None, PATIENCE_S)
        scale, cells = _map(text, pages) or (0, "")
        assert re.fullmatch(rf"\*?#{{{held // scale - 1},{held // scale}}}[=*]{{1,2}}",
                            cells.strip(".")), text
        top.press(ENTER, b"p")
        top.until("paused", PATIENCE_S)
        top.press(b"p")
        area.free(1 << 20)
        top.match(rf"^{AREA} +\d+ \[=+\.+\] +0%", PATIENCE_S)
        top.press(b"q")
        assert top.end(PATIENCE_S) == 0
        assert b"Traceback" not in top.sent
