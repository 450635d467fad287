# SPDX-License-Identifier: GPL-2.0
"""Memory pressure: a process that fills memory until MemAvailable is down to a floor.

A process of its own, and the first that the kernel kills when memory runs out: the load
goes on without it, and the summary says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import select
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from cmaobs.load.area import PAGE, meminfo

STEP = 8 << 20
_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGTERM, signal.SIGINT)
_FULL = b"full\n"  # written once, when memory is down to the floor


class Pace(NamedTuple):
    """let_go_s: after so long at the floor a share is given back, so that reclaim has something
    new to do. period_s: between two looks.
    """

    let_go_s: float = 5.0
    share: float = 0.5
    period_s: float = 0.2


class Pressure:
    """kind: anon (private memory) or shmem (as /dev/shm). floor: bytes of MemAvailable."""

    def __init__(self, root: Path, kind: str, floor: int, pace: Pace | None = None) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        # a child that is told to end before it knows what to do then would report nothing
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(reader)
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == parent:
                    _fill(root, kind, floor, pace or Pace(), writer)
                status = 0
            finally:
                os._exit(status)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
        self._reader = reader

    def await_full(self, timeout_s: float) -> bool:
        """Whether memory was down to the floor within so many seconds."""
        ready, _, _ = select.select([self._reader], [], [], timeout_s)
        return bool(ready) and os.read(self._reader, len(_FULL)) == _FULL

    def stop(self) -> dict[str, Any]:
        """What it did. Its memory is free when this returns."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        with os.fdopen(self._reader) as report:
            text = report.read().removeprefix(_FULL.decode())
        _, status = os.waitpid(self._pid, 0)
        if text:
            told: dict[str, Any] = json.loads(text)
            return told
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return {"ended": "killed, by the kernel if memory ran out" if killed else "failed"}


def _fill(root: Path, kind: str, floor: int, pace: Pace, writer: int) -> None:
    running = True

    def end(_number: int, _frame: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    chunks: list[mmap.mmap] = []
    peak = filled = rounds = 0
    refilled, refilling_s = 0, 0.0  # after it was full once: what others feel of reclaim
    full_since = None
    full = False
    while running:
        free = meminfo(root).get("MemAvailable", 0) * 1024
        if free > floor + STEP:
            begin = time.monotonic()
            chunks.append(_chunk(kind))
            filled += STEP
            if full:
                refilled += STEP
                refilling_s += time.monotonic() - begin
            peak = max(peak, len(chunks) * STEP)
            continue
        full_since = full_since or time.monotonic()
        if not full:
            os.write(writer, _FULL)
            full = True
        if time.monotonic() - full_since > pace.let_go_s or free < floor - STEP:
            oldest = chunks[:math.ceil(len(chunks) * pace.share)]
            for chunk in oldest:
                chunk.close()
            del chunks[:len(oldest)]
            full_since = None
            rounds += 1
        time.sleep(pace.period_s)
    report = {"kind": kind, "floor": floor, "peak": peak, "filled": filled, "rounds": rounds,
              "refilled": refilled, "refilling_s": round(refilling_s, 6)}
    os.write(writer, json.dumps(report | {"ended": "as told"}).encode())


def _chunk(kind: str) -> mmap.mmap:
    flags = mmap.MAP_PRIVATE if kind == "anon" else mmap.MAP_SHARED
    chunk = mmap.mmap(-1, STEP, flags=flags | mmap.MAP_ANONYMOUS)
    chunk[::PAGE] = b"\x5a" * (STEP // PAGE)
    return chunk
