# SPDX-License-Identifier: GPL-2.0
"""An operation that was in flight when the probes were armed makes unknown, never a divergence."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack
from itertools import pairwise

import pytest

from cmaobs.commands import running
from cmaobs.kernel.session import Options, Session
from cmaobs.observe import Observer
from cmaobs.state import Reading
from cmaobs.verdict import Outcome, Verdict
from kernel.stalling import draining_stalled, wait_inside
from kernel.tools import AREA, PATIENCE_S, Area, wait_for

pytestmark = pytest.mark.kernel


class Late(Session):
    """Armed while an allocation is held inside alloc_contig_range(), until release()."""

    def _arm(self) -> None:
        self._stalled = ExitStack()
        self._stalled.enter_context(draining_stalled())
        write = f"echo 16 > /sys/kernel/debug/cma/{AREA}/alloc"
        self.held = subprocess.Popen(["sh", "-c", write])
        wait_inside(self.held)
        super()._arm()

    @property
    def inside(self) -> frozenset[int]:
        """The threads that were seen inside of an operation that nobody follows."""
        assert self._before
        return self._before.inside

    def release(self) -> None:
        """It fails, and its bits are cleared: no record says so."""
        self.held.kill()
        self._stalled.close()
        assert self.held.wait(PATIENCE_S) == -signal.SIGKILL


class Run:
    """Steps of an observer."""

    def __init__(self, session: Session) -> None:
        self._observer = Observer(session, running.checker(session))
        self._steps = self._observer.steps()

    def lost(self) -> int:
        """Operations counted as lost in the next reading, and before."""
        while not isinstance(step := next(self._steps), Reading):
            pass
        return step.losses.counts["in_flight_at_attach"]

    @property
    def verdict(self) -> Verdict:
        """After the last reading."""
        assert self._observer.view.verdict
        return self._observer.view.verdict


def test_an_operation_in_flight_at_attach(area: Area) -> None:
    """The hog that holds it never leaves its CPU: it is seen there, and counted out."""
    session = Late(Options(reading_s=0.2))
    try:
        run = Run(session)
        lost = [run.lost() for _ in range(4)]
        inside = session.inside
        session.release()
        # a task that is to run where the hog is can be seen nowhere either
        assert min(after - before for before, after in pairwise(lost)) >= 1
        assert inside == {session.held.pid}
        assert area.alloc(4)
        area.free(4)
        deadline = time.monotonic() + PATIENCE_S
        while (now := run.lost()) > lost[-1]:
            lost.append(now)
            assert time.monotonic() < deadline, "it is over, and seen to be"
        assert run.verdict.outcome is Outcome.UNKNOWN, run.verdict
        for _ in range(10):
            assert area.alloc(4)
            area.free(4)
        wait_for(lambda: run.lost() and run.verdict.outcome is not Outcome.UNKNOWN)
        assert run.verdict.outcome is Outcome.AGREE, run.verdict
    finally:
        session.release()
        session.close()
