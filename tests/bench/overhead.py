# SPDX-License-Identifier: GPL-2.0
"""What the probes add to a pair of allocation and release, in guest instructions.

    make overhead

Runs inside the device under QEMU's icount, where a nanosecond of guest time
is an instruction, so that figures repeat whatever else the machine does.
Pairs are made through debugfs by this process; the median of several rounds
is printed, and the difference to a round without probes.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cmaobs.kernel.session import Options, Session
from cmaobs.state import Reading

AREA = "reserved"
DEBUG = Path("/sys/kernel/debug/cma", AREA)
BATCH = Path("/sys/kernel/mm/cma", AREA, "batch")
ROUNDS = 9
SIZES = (1, 16, 256, 1024)


def pair_cost(pages: int, pairs: int) -> float:
    """Instructions of one write to alloc and one to free, each round's mean; the median."""
    alloc = os.open(DEBUG / "alloc", os.O_WRONLY)
    free = os.open(DEBUG / "free", os.O_WRONLY)
    text = str(pages).encode()
    costs = []
    for _ in range(ROUNDS):
        begin = time.monotonic_ns()
        for _ in range(pairs):
            os.write(alloc, text)
            os.write(free, text)
        costs.append((time.monotonic_ns() - begin) / pairs)
    os.close(alloc)
    os.close(free)
    return statistics.median(costs)


def measure() -> dict[tuple[str, int], float]:
    """Instructions a pair by path and pages."""
    found = {}
    for path, batch, pairs in (("hit", "64", 60), ("contig", "0", 6)):
        BATCH.write_text(batch)
        for pages in SIZES:
            found[path, pages] = pair_cost(pages, pairs)
    BATCH.write_text("0")
    return found


def observed(options: Options) -> dict[tuple[str, int], float]:
    """The same with probes; fails if they lost or missed anything."""
    session = Session(options)
    found = measure()
    reading = next(step for step in session.finish() if isinstance(step, Reading))
    assert reading.losses.total == 0, reading.losses
    assert sum(area.counters["allocs_hit"] for area in reading.counts) > 0
    session.close()
    return found


def main() -> None:
    """Print the table; with arguments, only rows whose name has one of them in it."""
    # a long poll keeps the observer's own thread out of the measure
    modes: dict[str, Callable[[], dict[tuple[str, int], float]]] = {
        "nothing": measure,
        "fentry, counts only": lambda: observed(Options(attach="fentry", send=False, poll_s=1e6)),
        "fentry, counts and records": lambda: observed(Options(attach="fentry", poll_s=1e6)),
        "fentry, counts, records and stacks": lambda: observed(
            Options(attach="fentry", poll_s=1e6, stacks=True)),
        "fentry, counts, records and phases": lambda: observed(
            Options(attach="fentry", poll_s=1e6, phases=True)),
        "kprobe, counts only": lambda: observed(Options(attach="kprobe", send=False, poll_s=1e6)),
        "kprobe, counts and records": lambda: observed(Options(attach="kprobe", poll_s=1e6)),
        "kprobe, counts, records and stacks": lambda: observed(
            Options(attach="kprobe", poll_s=1e6, stacks=True)),
        "kprobe, counts, records and phases": lambda: observed(
            Options(attach="kprobe", poll_s=1e6, phases=True)),
    }
    base = measure()  # once for warm caches
    print("| attached | " + " | ".join(f"{path} {pages}" for path, pages in base) + " |")
    print("|---|" + "---:|" * len(base))
    for name, run in modes.items():
        if name != "nothing" and sys.argv[1:] and not any(part in name for part in sys.argv[1:]):
            continue
        found = run()
        if name == "nothing":
            base = found
        cells = [f"{found[key]:,.0f}" if name == "nothing" else f"+{found[key] - base[key]:,.0f}"
                 for key in found]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
