# SPDX-License-Identifier: GPL-2.0
"""Allocations that stay inside alloc_contig_range() for as long as a test wants."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel.tools import wait_for

_RT_RUNTIME = Path("/proc/sys/kernel/sched_rt_runtime_us")


@contextmanager
def draining_stalled() -> Iterator[None]:
    """No work item runs on the last CPU: lru_cache_disable() waits, and no signal wakes it."""
    _RT_RUNTIME.write_text("-1")
    last = max(os.sched_getaffinity(0))
    spin = ["taskset", "-c", str(last), "chrt", "-f", "50", "sh", "-c", "while :; do :; done"]
    with subprocess.Popen(spin) as hog:
        try:
            wait_for(lambda: os.sched_getscheduler(hog.pid) == os.SCHED_FIFO)
            yield
        finally:
            hog.kill()
            _RT_RUNTIME.write_text("950000")


def allocates(process: subprocess.Popen[bytes]) -> bool:
    """Whether it sleeps inside cma_alloc(), or the function that this has jumped to."""
    return bool(re.search(r" _*cma_alloc\+", Path(f"/proc/{process.pid}/stack").read_text()))
