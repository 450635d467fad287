# SPDX-License-Identifier: GPL-2.0
"""One observer for many experiments, with a checker that can be begun anew, and load in bursts."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from cmaobs.commands import running
from cmaobs.config import Settings
from cmaobs.crosscheck import Checker
from cmaobs.events import Kind, Operation, decode
from cmaobs.kernel.session import Session
from cmaobs.model import Policy
from cmaobs.observe import Observer
from cmaobs.state import AreaState, Reading
from cmaobs.verdict import Divergence, Outcome, Verdict
from kernel.defects import Defect
from kernel.tools import AREA, Area
from kernel.workloads import BATCH, Bench, made, switch

LOAD = ("--source", "debugfs", "--threads", "4", "--rate", "0", "--operations", "1200",
        "--duration", "60", "--sizes", "4,8,16", "--lifetime", "0-10", "--share", "25",
        "--reserve", "0", "--scan", "8-64", "--scan-rate", "20")
BURSTS = (0.02, 0.1, 0.3)  # seconds of load between two rests


class Fresh:
    """A checker that can be replaced by a new one; begun: when its operations began, ns."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.begin()

    def begin(self, merge: bool = False) -> None:
        """Forget everything."""
        self.checker = Checker(self._session.areas, Policy(merge=merge))
        self.begun: list[int] = []

    def feed(self, data: bytes) -> bool:
        taken = self.checker.feed(data)
        if taken:
            self.begun += [record.start_ns for record in decode(data)
                           if record.kind not in (Kind.CONTIG, Kind.FREE)]
        return taken

    def calls(self) -> bytes:
        return self.checker.calls()

    def counts(self, area: int) -> Mapping[str, int]:
        return {}  # they would begin anew, and those of the kernel do not

    def push(self, operation: Operation) -> None:
        self.begun.append(operation.record.start_ns)
        self.checker.push(operation)

    def advance(self, watermark_ns: int) -> None:
        self.checker.advance(watermark_ns)

    def observe(self, state: AreaState) -> None:
        self.checker.observe(state)

    def gap(self, reason: str, at_ns: int, area: int | None = None) -> None:
        self.checker.gap(reason, at_ns, area)

    def end(self) -> None:
        self.checker.end()

    def verdict(self) -> Verdict:
        return self.checker.verdict()


class Caught(NamedTuple):
    """operations: since the defect was on, those that began before it was certain."""

    first: Divergence | None
    operations: int
    ms: int
    made: int

    def __str__(self) -> str:
        return f"made {self.made} times, {self.operations} operations, first: {self.first}"


class Lab:
    """One observer for all tests: compiling the probes takes long under emulation."""

    def __init__(self) -> None:
        session = running.open_live(Settings(interval=0.2))
        assert isinstance(session, Session)
        self.session = session
        self.fresh = Fresh(session)
        self._steps = Observer(session, self.fresh).steps()
        self.area, self.codec = Area(AREA, True), Area("codec", True)
        self.bench = Bench(self.area, self.codec, self.settle)
        self.alone: dict[str, Caught] = {}
        self.together: dict[str, Caught] = {}

    def step(self) -> bool:
        """Whether it was a reading."""
        return isinstance(next(self._steps), Reading)

    def settle(self) -> None:
        """Until a reading that was begun after now."""
        left = 2
        while left:
            left -= self.step()

    def agrees(self) -> bool:
        """Whether the verdict on all that was done by now is, or becomes, agree."""
        self.settle()
        return self.until(10, Outcome.AGREE)

    def verdict(self) -> Verdict:
        """What the checker says now."""
        return self.fresh.verdict()

    def until(self, seconds: float, outcome: Outcome) -> bool:
        """Step until there is such a verdict."""
        deadline = time.monotonic() + seconds
        while self.verdict().outcome is not outcome:
            if time.monotonic() > deadline:
                return False
            while not self.step():
                pass
        return True

    def reset(self, batch: int = BATCH) -> None:
        """A lawful state, and a checker that knows nothing."""
        for area in (self.area, self.codec):
            switch("mend")
            area.free(1 << 20)
            switch("empty")
            area.batch(0)
            area.batch(batch)
        self.begin()

    def begin(self) -> None:
        """A checker that knows the state as it is."""
        self.settle()
        self.fresh.begin()
        self.settle()

    def make_busy(self) -> None:
        """The area's lowest free page has an owner and a clear bit: it is found busy."""
        switch("hit-clears-bits")
        self.area.alloc(1)
        self.area.free(1)
        self.area.alloc(1)
        switch("none")
        self.begin()

    def caught(self, since_ns: int) -> Caught:
        """What was found of a defect that has been on since then."""
        now = time.monotonic_ns()
        times = made()
        found = self.verdict().divergences
        first = min(found, key=lambda d: d.at_ns, default=None)
        seen = sum(since_ns <= begun <= (first.at_ns if first else now)
                   for begun in self.fresh.begun)
        return Caught(first, seen, (now - since_ns) // 1_000_000, times)

    def load(self, defect: Defect, seed: int = 1) -> None:
        """Four threads, scans and counts, in bursts with rests, until a divergence or the end."""
        command = [sys.executable, "-m", "cmaobs", "load", "--seed", str(seed), *LOAD,
                   *(defect.together or ())]
        over = threading.Event()

        def count() -> None:
            while not over.wait(0.02):
                self.area.count()

        counting = threading.Thread(target=count)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as task:
            counting.start()
            try:
                self._bursts(task, defect)
            finally:
                task.terminate()
                task.send_signal(signal.SIGCONT)
                ends = time.monotonic() + 20
                while task.poll() is None:
                    if time.monotonic() > ends:
                        task.kill()  # what it leaves, reset() frees
                    self.step()
                over.set()
                counting.join()

    def _bursts(self, task: subprocess.Popen[bytes], defect: Defect) -> None:
        ends = time.monotonic() + 60
        for seconds in itertools.cycle(BURSTS):
            rest = time.monotonic() + seconds
            before = len(self.fresh.begun)
            while time.monotonic() < rest:
                self.step()
            if len(self.fresh.begun) > before and defect.beside:
                defect.beside(self.bench)
            task.send_signal(signal.SIGSTOP)
            self.settle()
            if (task.poll() is not None or time.monotonic() > ends
                    or self.verdict().outcome is Outcome.DIVERGE):
                return
            task.send_signal(signal.SIGCONT)
