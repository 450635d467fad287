# SPDX-License-Identifier: GPL-2.0
"""The QEMU that deploy/vm/run has started, as the host sees it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 900  # for what takes seconds: other guests may run on the same processors


def guests_of(pid: int) -> list[int]:
    """QEMUs that descend from a process, which may be gone."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = path.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name.startswith("qemu") and int(rest.split()[1]) == pid:
            found.append(int(path.parent.name))
    return found


def guest_of(process: subprocess.Popen[Any]) -> int:
    """The QEMU of a runner, once it has started one."""
    end = time.monotonic() + PATIENCE_S
    while not (qemu := guests_of(process.pid)):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    found, = qemu
    return found


def gone(pid: int, within: float = PATIENCE_S) -> bool:
    """Whether a process ends, or has."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
