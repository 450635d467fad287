# SPDX-License-Identifier: GPL-2.0
"""What happens to the areas besides the load, at times and with values from a seed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cmaobs.load.area import Area
from cmaobs.load.pressure import Pressure
from soak.crew import Crew

FLOOR = 300 << 20  # bytes of MemAvailable that pressure leaves
LULL_S, PRESSURE_S = 0.7, 12.0
BATCHES = (0, 16, 64, 64, 256)
PERIODS_S = {"kill": 2.0, "scan": 0.5, "batch": 4.0, "drop_caches": 45.0, "lull": 20.0,
             "pressure": 90.0}


class Trouble:
    """tick() often; done counts what was done. batches: whether batch is changed.

    deferring: whether the kernel has batch and a shrinker at all.
    """

    def __init__(self, areas: Sequence[Area], crew: Crew, seed: int, deferring: bool,
                 batches: bool) -> None:
        self.done: Counter[str] = Counter()
        self._rng = random.Random(f"{seed}/trouble")
        self._areas, self._crew = areas, crew
        self._tasks = list(range(len(areas)))
        self._actions: dict[str, Callable[[], None]] = {
            "kill": self._kill, "drop_caches": self._drop, "lull": self._lull,
            "pressure": self._press}
        if deferring:
            self._actions["scan"] = self._scan
        if batches:
            self._actions["batch"] = self._batch
        now = time.monotonic()
        self._due = {name: now + self._wait(name) for name in self._actions}
        self._pressure: Pressure | None = None
        self._pressure_until = 0.0

    def _wait(self, name: str) -> float:
        return self._rng.uniform(0.5, 1.5) * PERIODS_S[name]

    def tick(self) -> None:
        """Do what is due."""
        if self._pressure is not None and time.monotonic() >= self._pressure_until:
            self._relax()
        for name, action in self._actions.items():
            if time.monotonic() >= self._due[name]:
                action()
                self.done[name] += 1
                self._due[name] = time.monotonic() + self._wait(name)

    def close(self) -> None:
        """End what goes on."""
        self._relax()

    def _kill(self) -> None:
        self._crew.kill(self._rng.choice(self._tasks))

    def _scan(self) -> None:
        area = self._rng.choice(self._areas)
        pages = self._rng.choice((1, 16, 63, 64, 65, 128, 256, 1024))
        area.scan.write_text(f"0 0 {pages}")

    def _batch(self) -> None:
        area = self._rng.choice(self._areas)
        area.batch.write_text(str(self._rng.choice(BATCHES)))

    def _drop(self) -> None:
        Path("/proc/sys/vm/drop_caches").write_text("2")

    def _lull(self) -> None:
        self._crew.pause()
        time.sleep(LULL_S)
        self._crew.go_on()

    def _press(self) -> None:
        if self._pressure is None:
            kind = self._rng.choice(("anon", "shmem"))
            self._pressure = Pressure(Path("/"), kind, FLOOR)
            self._pressure_until = time.monotonic() + PRESSURE_S

    def _relax(self) -> None:
        if self._pressure is not None:
            told = self._pressure.stop()
            self._pressure = None
            self.done["pressure_mib"] += told.get("filled", 0) >> 20
            self.done[f"pressure_ended_{told['ended'].split(',')[0].replace(' ', '_')}"] += 1


def describe() -> list[str]:
    """A line for each."""
    return [f"every {period / 2:g} to {period * 1.5:g} s: {name}"
            for name, period in PERIODS_S.items()]
