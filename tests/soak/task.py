# SPDX-License-Identifier: GPL-2.0
"""One loading process. It may be killed at any instant, and often is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import NamedTuple

from cmaobs.load.area import Area
from cmaobs.load.targets import Heap
from soak.mix import Round

MADE, REFUSED, HELD, FIELDS = 0, 1, 2, 3  # of a slot of the board


class Board(NamedTuple):
    """Memory that the tasks share with the conductor: FIELDS numbers a task, then the pace."""

    numbers: memoryview
    tasks: int

    @classmethod
    def of(cls, memory: memoryview, tasks: int) -> Board:
        """memory: 8 * (tasks * FIELDS + 1) bytes."""
        return cls(memory.cast("Q"), tasks)

    @property
    def pace_ns(self) -> int:
        """What a task sleeps for each operation that it made."""
        return self.numbers[self.tasks * FIELDS]

    @pace_ns.setter
    def pace_ns(self, value: int) -> None:
        self.numbers[self.tasks * FIELDS] = value


def work(area: Area, plan: Iterable[Round], board: Board, slot: int,
         slow: float) -> None:
    """Make the rounds of the plan; returns only when that ends. slow: times the usual rests."""
    assert area.debugfs is not None
    alloc = os.open(area.debugfs / "alloc", os.O_WRONLY)
    free = os.open(area.debugfs / "free", os.O_WRONLY)
    heap = Heap(area, touch=False) if area.heap else None
    base = slot * FIELDS
    for step in plan:
        if step.through == "heap":
            assert heap is not None
            _buffers(heap, step, board, base)
        else:
            _debugfs(alloc, free, step, board, base)
        time.sleep(slow * (step.rest_ms / 1000 + step.operations * board.pace_ns / 1e9))


def _debugfs(alloc: int, free: int, step: Round, board: Board, base: int) -> None:
    """HELD is raised before and lowered after, so that a kill leaves it too high, if anything."""
    numbers = board.numbers
    asked = [(pages, b"%d" % pages) for pages in step.pages]
    for _ in range(step.repeats):
        held = []
        for pages, text in asked:
            numbers[base + HELD] += pages
            try:
                os.write(alloc, text)
            except OSError:
                numbers[base + HELD] -= pages
                numbers[base + REFUSED] += 1
            else:
                held.append((pages, text))
            numbers[base + MADE] += 1
        for pages, text in reversed(held):  # as debugfs has them: the newest first
            os.write(free, text)
            numbers[base + HELD] -= pages
            numbers[base + MADE] += 1


def _buffers(heap: Heap, step: Round, board: Board, base: int) -> None:
    numbers = board.numbers
    for _ in range(step.repeats):
        held = []
        for pages in step.pages:
            numbers[base + MADE] += 1
            try:
                held.append(heap.alloc(pages))
            except OSError:
                numbers[base + REFUSED] += 1
        for handle in held:
            with contextlib.suppress(OSError):
                heap.release(handle)
            numbers[base + MADE] += 1
