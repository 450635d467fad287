# SPDX-License-Identifier: GPL-2.0
"""All of the load for a while, and a summary of exactly what it did."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmaobs.errors import UsageError
from cmaobs.load import targets
from cmaobs.load.area import Area, find, meminfo
from cmaobs.load.knobs import Knob
from cmaobs.load.plan import Lifetimes, Request, Sizes, requests, split
from cmaobs.load.pressure import Pressure
from cmaobs.load.worker import Done, Worker

LIMIT_S = 300.0  # for a number of operations without a duration
LEAST_FLOOR = 64 << 20


@dataclass(frozen=True)
class Settings:
    """What was asked for. Percentages of the area's pages, seconds, bytes."""

    root: Path = Path("/")
    area: str | None = None
    source: str = "auto"
    threads: int = 2
    sizes: Sizes | None = None
    lifetimes: Lifetimes = field(default_factory=lambda: Lifetimes(0.0, 0.05))
    rate: float = 50.0  # allocations a second of each thread; 0: as fast as possible
    duration: float | None = None
    operations: int | None = None
    seed: int = 1
    touch: bool = False
    share: float = 25.0
    reserve: float = 25.0
    scan: Sizes | None = None
    scan_rate: float = 1.0
    batches: tuple[int, ...] = ()
    batch_rate: float = 0.2
    pressure: str | None = None
    floor: int | None = None


class Maker:
    """One run. Everything is released when run() returns, whatever ended it."""

    def __init__(self, settings: Settings) -> None:
        self._s = settings
        self.area = find(settings.root, settings.area)
        self._pages = self.area.pages
        self._stop = threading.Event()
        self._signal: str | None = None
        self._gate = Gate(self.area, int(self._pages * settings.reserve / 100))
        limit = int(self._pages * settings.share / 100) // settings.threads
        sizes = settings.sizes or _usual_sizes(limit)
        if sizes.largest > limit:
            raise UsageError(
                f"{sizes.largest} pages are more than a thread's share of {limit}",
                "ask for smaller sizes, fewer --threads, or a larger --share",
            )
        self._source, self._target = targets.make(self.area, settings.source, settings.touch)
        plans: list[Iterable[Request]] = [
            requests(settings.seed, n, sizes, settings.lifetimes) for n in range(settings.threads)
        ]
        if settings.operations is not None:
            parts = split(settings.operations, settings.threads)
            plans = [itertools.islice(plan, n) for plan, n in zip(plans, parts, strict=True)]
        interval = 1 / settings.rate if settings.rate else 0.0
        self._workers = [
            Worker(self._target, plan, limit, interval, self._stop, self._gate,
                   settings.lifetimes.counted) for plan in plans
        ]
        self._scans = self._scanner()
        self._batches = self._batcher()

    def _scanner(self) -> Knob | None:
        s = self._s
        if s.scan is None:
            return None
        rng = random.Random(f"{s.seed}/scan")
        texts: Iterator[str] = (f"0 0 {s.scan.draw(rng)}" for _ in itertools.repeat(0))
        return Knob(self.area.scan, texts, 1 / s.scan_rate, self._stop)

    def _batcher(self) -> Knob | None:
        s = self._s
        if not s.batches:
            return None
        if max(s.batches) > self._pages:
            raise UsageError(f"a batch of {max(s.batches)} is more than the area's {self._pages}",
                             "ask for smaller batches")
        texts = (str(n) for n in itertools.cycle(s.batches))
        return Knob(self.area.batch, texts, 1 / s.batch_rate, self._stop)

    def stop(self, number: int, _frame: object = None) -> None:
        """A signal handler."""
        self._signal = signal.Signals(number).name
        self._stop.set()

    def run(self) -> dict[str, Any]:
        """Blocks until done, out of time or stopped; the summary."""
        s = self._s
        batch = self.area.batch.read_text() if self._batches else None
        used_before = self.area.used()
        begin = time.monotonic()
        pressure = Pressure(s.root, s.pressure, self._floor()) if s.pressure else None
        knobs = [knob for knob in (self._scans, self._batches) if knob]
        try:
            told = self._run_threads(knobs, begin)
        finally:
            squeezed = pressure.stop() if pressure else None
            if batch is not None:
                self.area.batch.write_text(batch)
            self._target.close()
        faults = [worker.fault for worker in self._workers] + [knob.fault for knob in knobs]
        for fault in faults:
            if fault:
                raise fault
        return self._summary(told, time.monotonic() - begin, used_before, squeezed)

    def _run_threads(self, knobs: list[Knob], begin: float) -> bool:
        """True when it ended because the workers had done everything."""
        limit = self._s.duration or (LIMIT_S if self._s.operations is not None else 10.0)
        workers = [_start(worker.run) for worker in self._workers]
        others = [_start(knob.run) for knob in knobs]
        try:
            while any(t.is_alive() for t in workers) and time.monotonic() - begin < limit:
                if self._stop.wait(0.05):
                    break
            finished = not self._stop.is_set() and not any(t.is_alive() for t in workers)
        finally:
            self._stop.set()
            for thread in (*workers, *others):
                thread.join()
        return finished

    def _floor(self) -> int:
        total = meminfo(self._s.root).get("MemTotal", 0) * 1024
        floor = self._s.floor if self._s.floor is not None else total // 5
        if floor < LEAST_FLOOR:
            raise UsageError(f"a floor of {floor} bytes leaves too little for the system",
                             f"--floor {LEAST_FLOOR >> 20}M or more")
        return floor

    def _summary(self, finished: bool, elapsed: float, used_before: int | None,
                 squeezed: dict[str, Any] | None) -> dict[str, Any]:
        s, done = self._s, Done()
        for worker in self._workers:
            done.add(worker.done)
        complete = s.operations is None or (finished and done.attempted == s.operations)
        summary: dict[str, Any] = {
            "area": self.area.name,
            "source": self._source,
            "seed": s.seed,
            "threads": s.threads,
            "elapsed_s": round(elapsed, 3),
            "stopped_by": self._signal,
            "complete": complete,
            "allocations": {"attempted": done.attempted, "succeeded": done.succeeded,
                            "failed": dict(done.failed)},
            "releases": {"done": done.releases, "early": done.early_releases,
                         "failed": dict(done.unreleased)},
            "pages": {"allocated": done.pages_allocated, "released": done.pages_released,
                      "left": done.pages_allocated - done.pages_released,
                      "peak": done.peak_pages, "area": self._pages},
            "paused_s": round(done.paused_s, 3),
            "reserve_checked": self._gate.checks,
            "used": {"before": used_before, "after": self.area.used()},
        }
        for name, knob in (("scans", self._scans), ("batch_changes", self._batches)):
            if knob:
                summary[name] = {"done": knob.done, "failed": dict(knob.failed)}
        if self._scans:
            summary["scans"]["pages_asked"] = self._scans.values
        if squeezed:
            summary["pressure"] = squeezed
        return summary


class Gate:
    """Open while the area has enough left for others, as far as debugfs tells."""

    PERIOD = 0.2

    def __init__(self, area: Area, reserve: int) -> None:
        self._area = area
        self._most = area.pages - reserve
        self._next = 0.0
        self._open = True
        self.checks = area.used() is not None

    def __call__(self) -> bool:
        now = time.monotonic()
        if self.checks and now >= self._next:
            used = self._area.used()
            self._open = used is None or used <= self._most
            self._next = now + self.PERIOD
        return self._open


def _usual_sizes(limit: int) -> Sizes:
    fit = [n for n in (1, 4, 16, 64, 256) if n <= limit] or [1]
    return Sizes(tuple((n, n) for n in fit), (1,) * len(fit))


def _start(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
