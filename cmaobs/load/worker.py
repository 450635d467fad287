# SPDX-License-Identifier: GPL-2.0
"""One thread of load: asks, holds, gives back, and never holds more than its share."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cmaobs.load.plan import Request
from cmaobs.load.targets import Target, name_of


@dataclass
class Done:
    """Exactly what was done. Pages and numbers, never estimates."""

    attempted: int = 0
    succeeded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    pages_allocated: int = 0
    releases: int = 0
    pages_released: int = 0
    early_releases: int = 0  # before their time, to stay within the share
    unreleased: Counter[str] = field(default_factory=Counter)  # releases that failed
    peak_pages: int = 0
    paused_s: float = 0.0

    def add(self, other: Done) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)


class Worker:
    """Runs in a thread of its own.

    limit: pages it may hold. gate: true while the area has enough left for others. counted:
    lifetimes are in allocations, not in seconds.
    """

    def __init__(self, target: Target, requests: Iterable[Request], limit: int, interval: float,
                 stop: threading.Event, gate: Callable[[], bool], counted: bool = False) -> None:
        self.done = Done()
        self.fault: BaseException | None = None
        self._target = target
        self._requests = requests
        self._limit = limit
        self._interval = interval
        self._stop = stop
        self._gate = gate
        self._counted = counted
        self._held: list[tuple[float, int, int]] = []  # until, handle, pages; the soonest first
        self._pages = 0

    def run(self) -> None:
        try:
            self._run()
        except BaseException as err:  # noqa: BLE001 - the main thread raises it again
            self.fault = err
            self._stop.set()
        finally:
            while self._held:
                self._release()

    def _run(self) -> None:
        due = time.monotonic()
        for request in self._requests:
            if not self._wait(due) or not self._pass_gate():
                return
            while self._held and self._pages + request.pages > self._limit:
                self.done.early_releases += 1
                self._release()
            self._allocate(request)
            # What could not be done in time is not made up for.
            due = max(due + self._interval, time.monotonic())
        if not self._counted:
            self._wait(max((until for until, _, _ in self._held), default=0.0))

    def _wait(self, due: float) -> bool:
        """Until due, while releasing what has had its time. False when told to stop."""
        while not self._stop.is_set():
            now, clock = time.monotonic(), self._clock()
            while self._held and self._held[0][0] <= clock:
                self._release()
            if now >= due:
                return True
            until = min(due, self._held[0][0]) if self._held and not self._counted else due
            self._stop.wait(until - now)
        return False

    def _clock(self) -> float:
        """What lifetimes are counted on."""
        return self.done.attempted if self._counted else time.monotonic()

    def _pass_gate(self) -> bool:
        if self._gate():
            return True
        begin = time.monotonic()
        while self._held:
            self.done.early_releases += 1
            self._release()
        while not (opened := self._gate()) and not self._stop.wait(0.1):
            pass
        self.done.paused_s += time.monotonic() - begin
        return opened

    def _allocate(self, request: Request) -> None:
        self.done.attempted += 1
        try:
            handle = self._target.alloc(request.pages)
        except OSError as err:
            self.done.failed[name_of(err)] += 1
            return
        self.done.succeeded += 1
        self.done.pages_allocated += request.pages
        self._pages += request.pages
        self.done.peak_pages = max(self.done.peak_pages, self._pages)
        heapq.heappush(self._held, (self._clock() + request.lifetime, handle, request.pages))

    def _release(self) -> None:
        _, handle, pages = heapq.heappop(self._held)
        self._pages -= pages
        try:
            self.done.pages_released += self._target.release(handle)
            self.done.releases += 1
        except OSError as err:
            self.done.unreleased[name_of(err)] += 1
