# SPDX-License-Identifier: GPL-2.0
"""Allocations that stay inside alloc_contig_range() for as long as a test wants."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kernel.tools import PATIENCE_S, wait_for

_RT_RUNTIME = Path("/proc/sys/kernel/sched_rt_runtime_us")
_COMPACT = "echo 1 >/proc/sys/vm/compact_memory"  # calls lru_add_drain_all() first


@contextlib.contextmanager
def draining_stalled() -> Iterator[None]:
    """No work item runs on the last CPU: lru_cache_disable() waits, and no signal wakes it.

    It waits for CPUs with pages to drain only. Whether the last one has any is seen by another
    task that drains, and waits until the end. Since Linux 6.12 a CPU serves those who starve, too.
    """
    last = max(os.sched_getaffinity(0))
    server = Path(f"/sys/kernel/debug/sched/fair_server/cpu{last}/runtime")
    served = server.read_text() if server.exists() else ""
    _RT_RUNTIME.write_text("-1")
    if served:
        server.write_text("0")
    spin = ["taskset", "-c", str(last), "chrt", "-f", "50", "sh", "-c", "while :; do :; done"]
    stalled = False
    try:
        while not stalled:
            with _nobody_on(last), subprocess.Popen(spin) as hog:
                drain = None
                try:
                    wait_for(lambda hog=hog: os.sched_getscheduler(hog.pid) == os.SCHED_FIFO)
                    drain = subprocess.Popen(["sh", "-c", _COMPACT])
                    wait_for(lambda drain=drain: drain.poll() is not None
                             or _inside(drain, "__lru_add_drain_all"))
                    stalled = drain.poll() is None
                    if stalled:
                        yield
                finally:
                    if drain:
                        drain.kill()
                    hog.kill()
            drain.wait(PATIENCE_S)
    finally:
        if served:
            server.write_text(served)
        _RT_RUNTIME.write_text("950000")


@contextlib.contextmanager
def _nobody_on(cpu: int) -> Iterator[None]:
    """Every task, and what it starts, is kept from the CPU: the balancer pulls no lone task."""
    everywhere = os.sched_getaffinity(0)
    others = everywhere - {cpu}
    _move(everywhere, others)
    try:
        yield
    finally:
        _move(others, everywhere)


def _move(before: set[int], after: set[int]) -> None:
    for name in glob.glob("/proc/[0-9]*/task/[0-9]*"):
        thread = int(os.path.basename(name))
        # gone meanwhile, or a kernel thread that is bound to its CPU
        with contextlib.suppress(OSError):
            if os.sched_getaffinity(thread) == before:
                os.sched_setaffinity(thread, after)


def wait_inside(*processes: subprocess.Popen[bytes], least: int | None = None) -> None:
    """Until so many (default: all) sleep inside cma_alloc(); else what each does instead."""
    enough = len(processes) if least is None else least
    try:
        wait_for(lambda: sum(map(allocates, processes)) >= enough)
    except AssertionError as error:
        raise AssertionError("\n".join(map(_doing, processes))) from error


def _doing(process: subprocess.Popen[bytes]) -> str:
    if process.poll() is not None:
        return f"{process.pid} ended with {process.returncode}"
    task = Path(f"/proc/{process.pid}")
    return "\n".join((task / name).read_text() for name in ("stat", "stack"))


def allocates(process: subprocess.Popen[bytes]) -> bool:
    """Whether it sleeps inside cma_alloc(), or the function that this has jumped to."""
    return _inside(process, "_*cma_alloc")


def _inside(process: subprocess.Popen[bytes], function: str) -> bool:
    stack = Path(f"/proc/{process.pid}/stack").read_text()
    return bool(re.search(rf" {function}\+", stack))
