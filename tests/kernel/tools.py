# SPDX-License-Identifier: GPL-2.0
"""What the kernel tests drive the kernel and the observer with: real files, real processes."""

from __future__ import annotations

import glob
import http.client
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from cmaobs.kernel import facts, findings

# The default area: named by the kernel on a PC, by the device tree's node elsewhere.
AREA = {"x86_64": "reserved", "aarch64": "linux,cma"}[platform.machine()]
# How probes can be attached here, by what doctor says; the first is what is taken unless told.
WAYS = ("fentry", "kprobe") if findings.fentry(facts.probe()).state == "ok" else ("kprobe",)
# What an observer may take to start: bcc compiles for minutes where arm64 is emulated.
PATIENCE_S = {"x86_64": 600, "aarch64": 1800}[platform.machine()]
CMAOBS = [str(Path(sys.executable).with_name("cmaobs"))]
Sample = tuple[str, frozenset[tuple[str, str]]]
_STARTS = 5  # of an observer that had no time to look around


def wait_for(what: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """The first true value of what()."""
    deadline = time.monotonic() + timeout_s
    while not (value := what()):
        assert time.monotonic() < deadline, f"{what} is still not true after {timeout_s} s"
        time.sleep(0.2)
    return value


@contextmanager
def written(path: Path, text: str) -> Iterator[None]:
    """A setting of the kernel, until the end."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def vmstat() -> Mapping[str, int]:
    """/proc/vmstat."""
    lines = Path("/proc/vmstat").read_text().split("\n")
    return {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if name}


def load(*arguments: str) -> Mapping[str, Any]:
    """Make so many --operations, however long they take; the summary."""
    assert "--operations" in arguments, "else it would go on for all of the time"
    done = subprocess.run([*CMAOBS, "load", "--json", "--duration", str(PATIENCE_S), *arguments],
                          check=True, stdout=subprocess.PIPE, text=True, timeout=2 * PATIENCE_S)
    summary: Mapping[str, Any] = json.loads(done.stdout)
    assert summary["complete"], summary
    return summary


class Area:
    """One area, through debugfs and sysfs, as root at a shell would."""

    def __init__(self, name: str, patched: bool) -> None:
        self.name, self.patched = name, patched
        self._debug = Path("/sys/kernel/debug/cma", name)
        self._sys = Path("/sys/kernel/mm/cma", name)
        self._boot_batch = 64

    def reset(self) -> None:
        """Nothing allocated, nothing deferred, batch as at boot."""
        self.free(1 << 20)
        if self.patched:
            self.batch(0)
            self.batch(self._boot_batch)

    def alloc(self, pages: int) -> bool:
        """Whether debugfs got the pages; exactly one cma_alloc."""
        return self._write(self._debug / "alloc", str(pages))

    def alloc_folio(self, order: int) -> bool:
        """The same of a folio; exactly one cma_alloc_folio."""
        return self._write(self._debug / "alloc_folio", str(order))

    def free(self, pages: int) -> None:
        """Release so many pages, last in, first out."""
        self._write(self._debug / "free", str(pages))

    def blocks(self, *sizes: int) -> None:
        """Allocate blocks, side by side, and release them: the first is the newest extent."""
        for size in sizes:
            assert self.alloc(size), f"{size} pages were refused"
        for size in reversed(sizes):
            self.free(size)

    def batch(self, pages: int) -> bool:
        """Set batch; False where the kernel refuses."""
        return self._write(self._sys / "batch", str(pages))

    def scan(self, pages: int) -> None:
        """One call of the shrinker's scan."""
        self._write(self._shrinker() / "scan", f"0 0 {pages}")

    def count(self) -> int:
        """One call of the shrinker's count; pages."""
        words = (self._shrinker() / "count").read_text().split()
        return int(words[1]) if words else 0

    def _shrinker(self) -> Path:
        path, = glob.glob(f"/sys/kernel/debug/shrinker/cma-shadow:{self.name}-*")
        return Path(path)

    @staticmethod
    def _write(path: Path, text: str) -> bool:
        # unbuffered: a failed write must not be tried again at close
        try:
            with path.open("wb", buffering=0) as file:
                file.write(text.encode())
        except OSError:
            return False
        return True

    def sysfs(self, name: str) -> int:
        """A number from /sys/kernel/mm/cma/<area>."""
        return int((self._sys / name).read_text())

    def debugfs(self, name: str) -> int:
        """A number from /sys/kernel/debug/cma/<area>."""
        return int((self._debug / name).read_text())


class Serve:
    """`cmaobs serve` as a process of its own, scraped over HTTP."""

    def __init__(self, directory: Path, *arguments: str,
                 environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self.recording = directory / "serve.cmarec"
        self._log = directory / "serve.log"
        self._arguments = [*CMAOBS, "serve", "--listen", "127.0.0.1:0", "--interval", "200ms",
                           "--record", str(self.recording), *arguments]
        self.url = ""

    def __enter__(self) -> Self:
        self._start()
        for _ in range(_STARTS):
            # It looks for 2 s at what every task does. A machine that is slower than that makes it
            # count a loss, which stays.
            if not self.scrape()[key_of("cmaobs_losses_total", kind="in_flight_at_attach")]:
                break
            self.stop()
            self._start()
        return self

    def _start(self) -> None:
        with self._log.open("w") as log:
            self.process = subprocess.Popen(self._arguments, stdout=log, stderr=log,
                                            env=self._environment)
        found = wait_for(lambda: re.search(r"http://[\d.:]+", self.output()) or self._ended())
        self.url = found[0]
        wait_for(lambda: self._answers("/readyz") or self._ended())

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def _ended(self) -> bool:
        assert self.process.poll() is None, self.output()
        return False

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text()

    def stop(self, how: int = signal.SIGINT) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def get(self, path: str) -> str:
        """What it answers under a path.

        It cuts off who says nothing for 5 s, which may be a client that did not get a processor.
        """
        found: str = wait_for(lambda: self._asked(path) or self._ended())
        return found

    def _asked(self, path: str) -> str:
        try:
            with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as response:
                text: str = response.read().decode()
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            return ""
        return text

    def scrape(self) -> dict[Sample, float]:
        """Every sample now, by name and labels."""
        return {(sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(self.get("/metrics"))
                for sample in family.samples}

    def attached(self) -> str:
        """kprobe or fentry."""
        return next(dict(labels)["attach"] for name, labels in self.scrape()
                    if name == "cmaobs_info")

    def settled(self) -> dict[Sample, float]:
        """A scrape that was read after now: two readings have been made since."""
        key = key_of("cmaobs_readings_total")
        start = self.scrape()[key]
        return wait_for(lambda: (s := self.scrape())[key] >= start + 2 and s)


def key_of(name: str, **labels: str) -> Sample:
    """The key of a sample in a scrape."""
    return name, frozenset(labels.items())


def grown(before: Mapping[Sample, float], after: Mapping[Sample, float], name: str,
          **labels: str) -> int:
    """By how much a sample grew; its absence before counts as 0, its absence after fails."""
    key = key_of(name, **labels)
    return int(after[key] - before.get(key, 0))


def cli(*arguments: str, status: int | None = 0) -> str:
    """Run `cmaobs ARGUMENTS`; its standard output. Fails on another exit status than given."""
    done = subprocess.run([*CMAOBS, *arguments], capture_output=True, text=True,
                          timeout=PATIENCE_S)
    assert status is None or done.returncode == status, \
        f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout
