# SPDX-License-Identifier: GPL-2.0
"""What shows a defect where another thread is in the way, or beside a load; see workloads.py."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

from kernel.stalling import allocates, draining_stalled
from kernel.starving import starved
from kernel.tools import PATIENCE_S, Area, wait_for
from kernel.workloads import BATCH, SWITCH, Bench, made


def _race(b: Bench) -> bool:
    """batch becomes 0 while another thread releases, a ms each. Whether that is how it ended."""
    before = made()

    def release() -> None:
        for _ in range(4):
            b.area.free(4)

    for _ in range(40):
        b.area.batch(BATCH)
        b.area.alloc(16)
        releasing = threading.Thread(target=release)
        releasing.start()
        time.sleep(0.001)
        b.area.batch(0)
        releasing.join()
        if made() > before:
            return True
        if "[none]" in SWITCH.read_text():
            break
    return False


def race(b: Bench) -> None:
    """A release that began before batch became 0 ends after it; this takes two threads."""
    _race(b)
    b.pause()
    b.area.batch(BATCH)


def race_beside(b: Bench) -> None:
    """The same beside a load that is stopped next: until then nobody is to flush what is listed."""
    if not _race(b):
        b.area.batch(BATCH)


def interrupted(b: Bench) -> None:
    """A task is killed while it is held inside alloc_contig_range(), which gives up: -EINTR."""
    b.codec.batch(0)
    assert _interrupt(b.codec, 3840) == -signal.SIGKILL
    b.pause()
    b.codec.batch(BATCH)


def interrupt(b: Bench) -> None:
    """The allocation only, beside a load: of so many pages that no extent has them.

    Where an earlier one left its bits set, there may be no such run any more.
    """
    _interrupt(b.codec, 2048)


def _interrupt(area: Area, pages: int) -> int:
    """The exit status of the task that asked."""
    with draining_stalled():
        write = f"echo {pages} >/sys/kernel/debug/cma/{area.name}/alloc"
        task = subprocess.Popen(["sh", "-c", write], stderr=subprocess.DEVNULL)
        wait_for(lambda: task.poll() is not None or allocates(task))
        task.kill()
    return task.wait(PATIENCE_S)


def orphan(b: Bench) -> None:
    """Hits of a page while the second remainder of an extent finds no memory; some are inside.

    As middle_without_memory(), where other threads leave it that place.
    """
    for _ in range(8):
        b.codec.alloc(7)
        b.codec.free(7)
        b.codec.alloc(2)
        starved(b.codec, "alloc", 1, space=33, sleeping=True)
        b.codec.free(3)


def leak(b: Bench) -> None:
    """Releases whose extent finds no memory."""
    for _ in range(4):
        b.area.alloc(16)
        starved(b.area, "free", 16)
