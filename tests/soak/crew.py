# SPDX-License-Identifier: GPL-2.0
"""All loading processes: started, killed in the middle, replaced, slowed down, counted."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
from collections.abc import Sequence

from cmaobs.load.area import Area
from soak import mix
from soak.task import FIELDS, HELD, MADE, REFUSED, Board, work

NICE = 10  # the observer, at 0, comes first on a processor that both want
_PR_SET_PDEATHSIG = 1


class Crew:
    """areas: of each task. Started on construction."""

    def __init__(self, areas: Sequence[Area], seed: int) -> None:
        self.killed = 0
        self._areas, self._seed = areas, seed
        memory = mmap.mmap(-1, 8 * (len(areas) * FIELDS + 1))
        self._board = Board.of(memoryview(memory), len(areas))
        self._generations = [0] * len(areas)
        self._pids = [self._start(slot) for slot in range(len(areas))]

    def _start(self, slot: int) -> int:
        generation = self._generations[slot]
        self._generations[slot] += 1
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                os.nice(NICE)
                area = self._areas[slot]
                plan = mix.rounds(self._seed, slot, generation, area.heap is not None,
                                  1 << area.order_per_bit)
                work(area, plan, self._board, slot, mix.SLOW.get(area.name, 1.0))
        finally:
            os._exit(1)

    @property
    def made(self) -> int:
        """Operations asked for."""
        return self._sum(MADE)

    @property
    def refused(self) -> int:
        """Allocations that failed."""
        return self._sum(REFUSED)

    def _sum(self, field: int) -> int:
        return sum(self._board.numbers[field::FIELDS][:len(self._areas)])

    @property
    def pace_us(self) -> float:
        """What each task sleeps for an operation."""
        return self._board.pace_ns / 1000

    @pace_us.setter
    def pace_us(self, value: float) -> None:
        self._board.pace_ns = int(value * 1000)

    def kill(self, slot: int) -> None:
        """SIGKILL, wherever it is; another takes its place."""
        self._end(slot)
        self.killed += 1
        self._pids[slot] = self._start(slot)

    def _end(self, slot: int) -> None:
        os.kill(self._pids[slot], signal.SIGKILL)
        _, status = os.waitpid(self._pids[slot], 0)
        if not os.WIFSIGNALED(status):
            raise RuntimeError(f"loading task {slot} ended by itself: status {status}")
        # What it held through debugfs, nobody else gives back.
        field = slot * FIELDS + HELD
        if pages := self._board.numbers[field]:
            _release(self._areas[slot], pages)
        self._board.numbers[field] = 0

    def pause(self) -> None:
        """Stop all where they are."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After pause()."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """End all, and leave nothing allocated."""
        for slot in range(len(self._pids)):
            self._end(slot)
        for area in {area.name: area for area in self._areas}.values():
            _release(area, area.pages)


def _release(area: Area, pages: int) -> None:
    assert area.debugfs is not None
    (area.debugfs / "free").write_text(str(pages))
