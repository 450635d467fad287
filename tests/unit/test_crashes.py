# SPDX-License-Identifier: GPL-2.0
"""The table of crashing defects is complete, and what a console says is told apart."""

from __future__ import annotations

import re
from pathlib import Path

from debug.crashes import CRASHES, SIGNS, told

ROOT = Path(__file__).parents[2]


def test_every_crashing_defect_of_the_patch_is_provoked() -> None:
    patches = sorted((ROOT / "deploy/kernel/defects-6.1").glob("0002-*.patch"))
    (text,) = [path.read_text() for path in patches]
    assert set(re.findall(r'^\+.*= "([\w-]+)"', text, re.MULTILINE)) == {c.name for c in CRASHES}
    assert {crash.by for crash in CRASHES} <= {who for _, who in SIGNS}


def test_what_a_console_says() -> None:
    console = """
[    1.0] BUG: KASAN: use-after-free in before_it_was_on+0x1
[    2.0] crash: fetch-reads-freed is on
[    2.1] BUG: KASAN: use-after-free in cma_defer_area_fetch+0x1a/0x20
[    2.2] WARNING: possible recursive locking detected
[    2.3] WARNING: possible recursive locking detected
"""
    assert told(console) == [("KASAN", "use-after-free in cma_defer_area_fetch"),
                             ("lockdep", "possible recursive locking detected")]
    assert told(console.replace("crash: ", "")) == []
