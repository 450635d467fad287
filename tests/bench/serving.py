# SPDX-License-Identifier: GPL-2.0
"""What `cmaobs serve` itself takes: to start, at rest, and at a thousand operations a second.

Of a process's own clock (CLOCK_PROCESS_CPUTIME_ID of another process, clock_getcpuclockid(3)),
which under icount counts the instructions that it ran, the kernel's on its behalf included.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench import pairs

FLAGS = {"--callers no": ("--callers", "no"), "as it is": (), "--stacks": ("--stacks",),
         "--phases": ("--phases",)}
SECONDS = 10.0
RATE = 1000  # operations a second: half of them allocations
_STEP_S = 0.02


def measure(out: Path) -> dict[str, dict[str, float]]:
    """By flags; see Served of the table for the figures."""
    return {name: _one(out, flags) for name, flags in FLAGS.items()}


def _one(out: Path, flags: tuple[str, ...]) -> dict[str, float]:
    log = out / "serve.log"
    command = [str(Path(sys.executable).with_name("cmaobs")), "serve", "--listen", "127.0.0.1:0",
               *flags]
    began = time.monotonic()
    with log.open("w") as output:
        task = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        url = _ready(task, log)
        found = {"start_wall_ns": (time.monotonic() - began) * 1e9, "start_ns": _clock(task.pid)}
        time.sleep(5)
        found["rest"] = _share(task.pid, 0)
        found["busy"] = _share(task.pid, RATE)
        found["scrape_ns"], found["scrape_bytes"] = _scrape(task.pid, url)
        status = Path(f"/proc/{task.pid}/status").read_text()
        found["resident_kb"] = int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0])
        answer = urllib.request.urlopen(url + "/metrics", timeout=60).read().decode()
        for line in answer.split("\n"):
            if line.startswith("cmaobs_losses_total") and not line.endswith(" 0.0"):
                raise RuntimeError(f"serve {' '.join(flags)} lost records: {line}")
    finally:
        task.send_signal(signal.SIGINT)
        task.wait(300)
    return found


def _ready(task: subprocess.Popen[bytes], log: Path) -> str:
    """Where it serves, once the first reading is made."""
    while task.poll() is None:
        time.sleep(0.1)
        url = re.search(r"http://[\d.:]+", log.read_text())
        if url and "attached" in log.read_text():
            try:
                urllib.request.urlopen(url[0] + "/readyz", timeout=60)
                return url[0]
            except OSError:
                continue
    raise RuntimeError(f"serve has ended: {log.read_text()[-500:]}")


def _clock(pid: int) -> int:
    """ns of processor time: CPUCLOCK_SCHED of include/linux/posix-timers.h."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def _share(pid: int, rate: int) -> float:
    """ns of its processor time a second, while so many operations a second are made."""
    pairs.BATCH.write_text("64")
    began, clock = time.monotonic(), _clock(pid)
    made = 0
    alloc = os.open(pairs.DEBUG / "alloc", os.O_WRONLY)
    free = os.open(pairs.DEBUG / "free", os.O_WRONLY)
    while (now := time.monotonic()) < began + SECONDS:
        while made < (now - began) * rate:
            os.write(alloc, b"16")
            os.write(free, b"16")
            made += 2
        time.sleep(_STEP_S)
    os.close(alloc)
    os.close(free)
    if made < SECONDS * rate * 0.99:
        raise RuntimeError(f"only {made} operations could be made in {SECONDS} s")
    return (_clock(pid) - clock) / (time.monotonic() - began)


def _scrape(pid: int, url: str) -> tuple[float, int]:
    """Processor time that a scrape takes, and its bytes: ten of them, each of a view of its own."""
    clock, size = _clock(pid), 0
    for _ in range(10):
        size = len(urllib.request.urlopen(url + "/metrics", timeout=60).read())
        time.sleep(0.2)
    return (_clock(pid) - clock) / 10, size
