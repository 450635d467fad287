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
        text = top.until(f"{AREA}  ", timeout_s=PATIENCE_S)
        assert re.search(rf"^{AREA} +\d+ \[\.+\] +0%", text, re.MULTILINE), text
        assert area.alloc(held)
        assert area.alloc(24)
        area.free(24)
        assert not area.alloc(1 << 20)
        # The share held, and what is deferred, as the kernel says it.
        pages = area.debugfs("count")
        share = f"{area.debugfs('used') / pages:.0%}"
        deferred = area.sysfs("defer_count")
        assert deferred == 24
        top.until(lambda text: re.search(
            rf"^{AREA} +{pages} \[#+=\.+\] +{share} +{deferred} ", text, re.MULTILINE))
        failure = re.search(rf"{AREA} +{1 << 20} pages +ENOMEM +oversize +(\S+)\[(\d+)\]",
                            top.until("latest failures"))
        assert failure
        assert int(failure[2]) == os.getpid()
        top.press(b"t", ENTER)
        text = top.until(lambda text: _map(text, pages) is not None)
        assert f"deferred {deferred} in 1 extents, batch {area.sysfs('batch')}" in text
        assert "failed since the start: ENOMEM 1; oversize 1" in text
        scale, cells = _map(text, pages) or (0, "")
        assert re.fullmatch(rf"\*?#{{{held // scale - 1},{held // scale}}}[=*]{{1,2}}",
                            cells.strip(".")), text
        top.press(ENTER, b"p")
        top.until("paused")
        top.press(b"p")
        area.free(1 << 20)
        top.until(lambda text: re.search(rf"^{AREA} +\d+ \[=+\.+\] +0%", text, re.MULTILINE))
        top.press(b"q")
        assert top.end(120) == 0
        assert b"Traceback" not in top.sent
