# SPDX-License-Identifier: GPL-2.0
"""What is lost at the highest rate that the device's kernel can make: make bench-losses

In the device: tests/bench/spin.c while `serve` or `check` observes with its defaults; without a
pause, and with pauses between its pairs of operations. Prints a table.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

AREA = "/sys/kernel/debug/cma/reserved"
CMAOBS = str(Path(sys.executable).with_name("cmaobs"))
PAGES = "16"
CASES = (("serve", 1, 0), ("serve", 8, 0), ("serve", 8, 1_000_000), ("check", 1, 0),
         ("check", 8, 0), ("check", 8, 200_000), ("check", 8, 1_000_000))
FIRST = 500  # rounds that tell how fast it goes
PATIENCE_S = 600


class Row(NamedTuple):
    """made: allocations by the kernel's own count. counted: by the observer's."""

    command: str
    tasks: int
    pause_ns: int
    operations: int
    seconds: float
    made: int
    counted: int
    lost: int
    verdict: str


class Load:
    """The load of one row, in pieces: how fast one goes tells how long the next has to be."""

    def __init__(self, program: Path, tasks: int, pause_ns: int, seconds: float) -> None:
        self._command = [program, AREA, str(tasks)]
        self._tasks, self._pause, self._wanted_s = tasks, pause_ns, seconds
        self.operations, self.seconds, self.made = 0, 0.0, 0

    def run(self) -> None:
        """All of it."""
        before = _allocations()
        rate = self._spin(FIRST)
        while (left := self._wanted_s - self.seconds) > 0:
            rate = self._spin(max(int(rate * left / 2 / self._tasks), FIRST))
        self.made = _allocations() - before

    def _spin(self, rounds: int) -> float:
        out = subprocess.run([*self._command, str(rounds), str(self._pause), PAGES], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        operations, nanoseconds = map(int, out.split())
        self.operations += operations
        self.seconds += nanoseconds / 1e9
        return operations * 1e9 / nanoseconds


def _allocations() -> int:
    found = re.search(r"^cma_alloc_success (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/vmstat does not count allocations of CMA")
    return int(found[1])


def served(load: Load, out: Path) -> tuple[int, int, str]:
    """Allocations counted, records lost and the verdict, by the metrics of `serve`."""
    log = out / "serve.log"
    with log.open("w") as output, subprocess.Popen(
            [CMAOBS, "serve", "--listen", "127.0.0.1:0"], stdout=output, stderr=output) as serve:
        try:
            url = _until(lambda: re.search(r"http://[\d.:]+", log.read_text()), serve, log)[0]
            _settled(url, serve, log)
            load.run()
            samples = _settled(url, serve, log)
        finally:
            serve.send_signal(signal.SIGINT)
    verdict, = (one for one in ("agree", "unknown", "diverge")
                if samples.get(f"cmaobs_model_verdict {one}"))
    return int(samples["cma_alloc_total"]), int(samples["cmaobs_losses_total"]), verdict


def _until(what: Callable[[], re.Match[str] | None], serve: subprocess.Popen[bytes],
           log: Path) -> re.Match[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (found := what()) is None:
        if serve.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"serve does not serve: {log.read_text()}")
        time.sleep(0.2)
    return found


def _scrape(url: str) -> Mapping[str, float]:
    """By name, all labels together; the verdict by its value."""
    with urllib.request.urlopen(url + "/metrics", timeout=PATIENCE_S) as response:
        text = response.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            verdict = sample.labels.get("verdict")
            name = f"{sample.name} {verdict}" if verdict else sample.name
            sums[name] = sums.get(name, 0.0) + sample.value
    return sums


def _settled(url: str, serve: subprocess.Popen[bytes], log: Path) -> Mapping[str, float]:
    """A scrape that was read after now: two readings have been made since."""
    deadline = time.monotonic() + PATIENCE_S
    start = _scrape(url)["cmaobs_readings_total"]
    while (found := _scrape(url))["cmaobs_readings_total"] < start + 2:
        if serve.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"serve reads no more: {log.read_text()}")
        time.sleep(0.5)
    return found


def checked(load: Load, _: Path) -> tuple[int, int, str]:
    """The same by the report of `check`."""
    with subprocess.Popen([CMAOBS, "check", "--duration", "1h", "--json"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as check:
        assert check.stderr is not None
        seen = []
        for line in check.stderr:
            seen.append(line)
            if "observing" in line:
                break
        else:
            raise RuntimeError(f"check does not observe: {''.join(seen)}")
        time.sleep(3)
        load.run()
        check.send_signal(signal.SIGINT)
        report = json.loads(check.communicate(timeout=PATIENCE_S)[0])
    counted = sum(sum(area["allocations"].values()) for area in report["areas"])
    return counted, sum(report["losses"].values()), report["verdict"]["outcome"]


def main() -> None:
    """Rows as they come, then the table."""
    program, seconds = Path(sys.argv[1]), float(sys.argv[2])
    rows = []
    for command, tasks, pause in CASES:
        load = Load(program, tasks, pause, seconds)
        found = (served if command == "serve" else checked)(load, program.parent)
        rows.append(Row(command, tasks, pause, load.operations, load.seconds, load.made, *found))
        print(rows[-1], flush=True)
    print("| command | tasks | pause, ms | operations/s | s | allocations made | counted | lost | "
          "verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        print(f"| `{row.command}` | {row.tasks} | {row.pause_ns / 1e6:g} | "
              f"{row.operations / row.seconds:,.0f} | {row.seconds:.0f} | {row.made:,} | "
              f"{row.counted:,} | {row.lost:,} | {row.verdict} |")


if __name__ == "__main__":
    main()
