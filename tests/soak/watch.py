# SPDX-License-Identifier: GPL-2.0
"""Observers as processes of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


class Watcher:
    """One `cmaobs COMMAND --json` that runs until it is ended."""

    def __init__(self, directory: Path, name: str, *arguments: str, nice: int = 0) -> None:
        self._out, self._err = directory / f"{name}.json", directory / f"{name}.log"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                ["nice", "-n", str(nice), sys.executable, "-m", "cmaobs", *arguments, "--json"],
                stdout=out, stderr=err)
        self._cpu = (time.monotonic(), 0.0)

    @property
    def attached(self) -> bool:
        """Whether it observes; raises RuntimeError where it ended before."""
        log = self.log
        if "Ctrl-C ends it" in log:
            return True
        if self._process.poll() is not None:
            raise RuntimeError(f"observer ended with {self._process.returncode}: {log}")
        return False

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._err.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def rss_kib(self) -> int:
        """Resident memory now; 0 once it ended."""
        return rss_kib(self._process.pid)

    def cpu_share(self) -> float:
        """Processors that it used since the last call, on average."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        now, used = time.monotonic(), (int(fields[11]) + int(fields[12])) / _TICKS
        (before, was), self._cpu = self._cpu, (now, used)
        return (used - was) / max(now - before, 1e-3)

    def tell(self, how: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.running:
            self._process.send_signal(how)

    def end(self, how: signal.Signals, timeout_s: float) -> dict[str, Any]:
        """Its report, with its exit status; {} besides where it was killed.

        Raises subprocess.TimeoutExpired where it did not end.
        """
        self.tell(how)
        status = self._process.wait(timeout_s)
        text = self._out.read_text()
        return {**(json.loads(text) if text else {}), "status": status}


def rss_kib(pid: int) -> int:
    """VmRSS of /proc/PID/status; 0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


class Passers:
    """Other observers that come and go: every second one is killed with SIGKILL."""

    PERIOD_S = (120.0, 240.0)
    ENDS_S = 300.0  # from SIGINT

    def __init__(self, directory: Path, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.wolves: list[Any] = []
        self.ending = False
        self._directory = directory
        self._rng = random.Random(f"{seed}/passers")
        self._one: Watcher | None = None
        self._leaves = 0.0
        self._number = 0
        self._due = time.monotonic() + 20

    def tick(self) -> None:
        """Start the next, or end the one that is there, when it is time.

        ending: whether one was told to end, and judges what it has not judged so far. Raises
        RuntimeError where it does not end.
        """
        now = time.monotonic()
        if self._one is None:
            if now >= self._due:
                self._one = Watcher(self._directory, "passer", "check", "--duration", "1h",
                                    nice=5)
                self._leaves = 0.0
        elif not self._leaves:
            if self._one.attached:
                self._leaves = now + self._rng.uniform(1, 25)
        elif self.ending:
            if not self._one.running:
                self._left(self._one.end(signal.SIGINT, 60))
            elif now >= self._leaves + self.ENDS_S:
                raise RuntimeError(f"another observer does not end: {self._one.log[-500:]}")
        elif now >= self._leaves:
            if self._number % 2:
                self._one.tell(signal.SIGINT)
                self.ending = True
            else:
                self._one.end(signal.SIGKILL, 60)
                self._next("killed")

    def _left(self, report: dict[str, Any]) -> None:
        assert self._one is not None
        verdict = report.get("verdict") or {}
        if verdict.get("outcome") not in ("agree", "unknown"):
            self.wolves.append(verdict or self._one.log[-500:])
        self._next(verdict.get("outcome", "failed"))

    def _next(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self.ending = False
        self._one = None
        self._number += 1
        self._due = time.monotonic() + self._rng.uniform(*self.PERIOD_S)

    def close(self) -> None:
        """End the one that is there."""
        if self._one is not None:
            self._one.end(signal.SIGKILL, 60)
