# SPDX-License-Identifier: GPL-2.0
"""Allocations of the kernel's own that fail in this task, for one call of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kernel.tools import Area

_DEBUG = Path("/sys/kernel/debug")


def starved(area: Area, what: str, pages: int, space: int = 0, sleeping: bool = False) -> None:
    """Write to a debugfs file of the area while kmalloc() that may not sleep fails.

    sleeping: the first kmalloc() of any kind that does not fit into space fails.
    """
    _write(area, what, pages, "failslab", {
        "space": str(space), "times": "1" if sleeping else "-1",
        "ignore-gfp-wait": "N" if sleeping else "Y"})


def without_memory(area: Area, pages: int) -> bool:
    """Whether debugfs got the pages although this task gets no page for what is to be moved."""
    try:
        _write(area, "alloc", pages, "fail_page_alloc", {
            "space": "0", "times": "-1", "min-order": "0", "ignore-gfp-wait": "N"})
    except OSError:
        return False
    return True


def _write(area: Area, what: str, pages: int, fault: str, values: Mapping[str, str]) -> None:
    """Write to a debugfs file of the area under a fault; raises OSError as the file does."""
    # nothing may be opened while allocations fail
    target = os.open(_DEBUG / "cma" / area.name / what, os.O_WRONLY)
    me = os.open("/proc/self/make-it-fail", os.O_WRONLY)
    text = str(pages).encode()
    try:
        for name, value in {"task-filter": "Y", "verbose": "0", "probability": "100",
                            **values}.items():
            (_DEBUG / fault / name).write_text(value)
        os.write(me, b"1")
        os.write(target, text)
    finally:
        os.write(me, b"0")
        (_DEBUG / fault / "probability").write_text("0")
        (_DEBUG / fault / "ignore-gfp-wait").write_text("Y")
        os.close(me)
        os.close(target)
