# SPDX-License-Identifier: GPL-2.0
"""A real Dask scheduler and real workers on this machine, each a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from golden.cli import environment

_PATIENCE_S = 300


class Dask:
    """Ended at exit. Workers have one thread and no nanny: one that dies is not replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "scheduler.json"
        self._log = (directory / "log").open("ab")
        self._others: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0",
                                     "--scheduler-file", self._file)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._file.is_file() or not self._file.read_text().endswith("}"):
            assert self.scheduler.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]

    def worker(self, *args: str | Path) -> subprocess.Popen[bytes]:
        """One more."""
        self._others.append(self._start("worker", self.address, "--no-nanny", "--nthreads", "1",
                                        "--memory-limit", "0", "--local-directory",
                                        self._directory, *args))
        return self._others[-1]

    def ready(self) -> None:
        """Wait until all workers are known to the scheduler: importing takes its time."""
        deadline = time.monotonic() + _PATIENCE_S
        log = self._directory / "log"
        while log.read_text(errors="replace").count("Registered to:") < len(self._others):
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)

    def _start(self, what: str, *args: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard",
             *map(str, args)], env=environment(), cwd=self._directory, stdin=subprocess.DEVNULL,
            stdout=self._log, stderr=self._log)

    def __enter__(self) -> Dask:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        for process in (*self._others, self.scheduler):
            process.kill()
            process.wait()
        self._log.close()
