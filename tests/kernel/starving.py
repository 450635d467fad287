# SPDX-License-Identifier: GPL-2.0
"""kmalloc() that fails in this task, for one call of the kernel."""

from __future__ import annotations

import os
from pathlib import Path

from kernel.tools import Area

_FAILSLAB = Path("/sys/kernel/debug/failslab")


def starved(area: Area, what: str, pages: int, space: int = 0, sleeping: bool = False) -> None:
    """Write to a debugfs file of the area while kmalloc() that may not sleep fails.

    sleeping: the first kmalloc() of any kind that does not fit into space fails.
    """
    values = {"task-filter": "Y", "verbose": "0", "space": str(space), "probability": "100",
              "times": "1" if sleeping else "-1", "ignore-gfp-wait": "N" if sleeping else "Y"}
    # nothing may be opened while kmalloc() fails
    target = os.open(f"/sys/kernel/debug/cma/{area.name}/{what}", os.O_WRONLY)
    me = os.open("/proc/self/make-it-fail", os.O_WRONLY)
    try:
        for name, value in values.items():
            (_FAILSLAB / name).write_text(value)
        os.write(me, b"1")
        os.write(target, str(pages).encode())
    finally:
        os.write(me, b"0")
        (_FAILSLAB / "probability").write_text("0")
        (_FAILSLAB / "ignore-gfp-wait").write_text("Y")
        os.close(me)
        os.close(target)
