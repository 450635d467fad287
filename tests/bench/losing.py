# SPDX-License-Identifier: GPL-2.0
"""What is lost at the highest rate that the device's kernel can make: make bench-losses

In the device, for each number of tasks: `spin` for a time while `serve` or `check` observes with
its defaults. Prints a table.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.checking import AREA
from kernel.tools import CMAOBS, PATIENCE_S, Serve, key_of, vmstat

TASKS = (1, 2, 8)
PAGES = "16"
SHORT_S = 2.0  # of one run of the load, about


class Row(NamedTuple):
    """allocations: that the kernel says it made, and that the observer counted."""

    command: str
    tasks: int
    operations: int
    seconds: float
    counted: int
    allocations: int
    lost: int
    verdict: str


def spinning(program: Path, tasks: int, seconds: float) -> tuple[int, float]:
    """Operations, and the seconds that they took, of as many runs as it takes."""
    rounds, operations, nanoseconds = 1000, 0, 0
    while nanoseconds < seconds * 1e9:
        out = subprocess.run([program, str(AREA), str(tasks), str(rounds), PAGES], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        made, took = map(int, out.split())
        operations, nanoseconds = operations + made, nanoseconds + took
        rounds = max(1000, int(made / took * 1e9 * SHORT_S / 2 / tasks))
    return operations, nanoseconds / 1e9


def served(load: Callable[[], tuple[int, float]], tasks: int) -> Row:
    """With `serve`, by its metrics."""
    with tempfile.TemporaryDirectory() as directory, \
            Serve(Path(directory), "--interval", "500ms") as serve:
        serve.settled()
        before = vmstat()["cma_alloc_success"]
        operations, seconds = load()
        allocations = vmstat()["cma_alloc_success"] - before
        after = serve.settled()
        counted = sum(value for (name, _), value in after.items() if name == "cma_alloc_total")
        lost = sum(value for (name, labels), value in after.items()
                   if name == "cmaobs_losses_total")
        verdict = next(one for one in ("agree", "unknown", "diverge")
                       if after[key_of("cmaobs_model_verdict", verdict=one)])
    return Row("serve", tasks, operations, seconds, int(counted), allocations, int(lost), verdict)


def checked(load: Callable[[], tuple[int, float]], tasks: int) -> Row:
    """With `check`, by its report."""
    with subprocess.Popen([*CMAOBS, "check", "--duration", "1h", "--json"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as check:
        assert check.stderr is not None
        assert any("observing" in line for line in iter(check.stderr.readline, ""))
        time.sleep(2)
        before = vmstat()["cma_alloc_success"]
        operations, seconds = load()
        allocations = vmstat()["cma_alloc_success"] - before
        check.send_signal(signal.SIGINT)
        report = json.loads(check.communicate(timeout=PATIENCE_S)[0])
    made = [area["allocations"] for area in report["areas"]]
    return Row("check", tasks, operations, seconds, sum(sum(one.values()) for one in made),
               allocations, sum(report["losses"].values()), report["verdict"]["outcome"])


def main() -> None:
    """Rows as they come, then the table."""
    program, seconds = Path(sys.argv[1]), float(sys.argv[2])
    rows = []
    for tasks in TASKS:
        for way in (served, checked):
            rows.append(way(lambda tasks=tasks: spinning(program, tasks, seconds), tasks))
            print(rows[-1], flush=True)
    print("| command | tasks | operations/s | s | allocations made | counted | lost | verdict |\n"
          "|---|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        print(f"| `{row.command}` | {row.tasks} | {row.operations / row.seconds:,.0f} | "
              f"{row.seconds:.0f} | {row.allocations:,} | {row.counted:,} | {row.lost:,} | "
              f"{row.verdict} |")


if __name__ == "__main__":
    main()
