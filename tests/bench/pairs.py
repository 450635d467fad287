# SPDX-License-Identifier: GPL-2.0
"""What a pair of allocation and release costs, made through debugfs by this process.

Under QEMU's icount a nanosecond of guest time is an instruction, so that figures repeat whatever
else the machine does; without it they are nanoseconds.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

AREA = "reserved"
DEBUG = Path("/sys/kernel/debug/cma", AREA)
BATCH = Path("/sys/kernel/mm/cma", AREA, "batch")
ROUNDS = 15
SIZES = (1, 16, 256, 1024)
PAIRS = {"hit": ("64", 60), "contig": ("0", 6)}  # batch, and pairs in a round, by path
MADE = sum(pairs for _, pairs in PAIRS.values()) * ROUNDS * len(SIZES)


class Cost(NamedTuple):
    """Of a pair, over the rounds: the median of their means, and the half of them around it."""

    median: float
    low: float
    high: float


def cost(pages: int, pairs: int) -> Cost:
    """Of one write to alloc and one to free, of so many pages."""
    alloc = os.open(DEBUG / "alloc", os.O_WRONLY)
    free = os.open(DEBUG / "free", os.O_WRONLY)
    text = str(pages).encode()
    costs = []
    try:
        for _ in range(ROUNDS):
            begin = time.monotonic_ns()
            for _ in range(pairs):
                os.write(alloc, text)
                os.write(free, text)
            costs.append((time.monotonic_ns() - begin) / pairs)
    finally:
        os.close(alloc)
        os.close(free)
    low, median, high = statistics.quantiles(costs, n=4)
    return Cost(median, low, high)


def measure() -> dict[str, Cost]:
    """By path and pages, such as "hit 16"; MADE pairs in all."""
    found = {}
    for path, (batch, pairs) in PAIRS.items():
        BATCH.write_text(batch)
        for pages in SIZES:
            found[f"{path} {pages}"] = cost(pages, pairs)
    BATCH.write_text("0")
    return found
