# SPDX-License-Identifier: GPL-2.0
"""One observer's stream, cut into recordings, so that the probes are compiled and attached once.

A cut is made where nothing happened between two readings: no operation is then in flight,
and no record is on its way. Counts of a recording count from its cut on: those at the cut are
subtracted. So a recording is whole by itself, and `replay` reports of it what happened in the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cmaobs.errors import HostError
from cmaobs.kernel.session import Session
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import AreaCounts, Latency, Losses, Reading

_TRIES = 50
Step = Batch | Reading


class Cutter:
    """Owns the session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, path: Path, busy: Callable[[], bool]) -> Reading:
        """Record while busy, and until all is at rest again; the last reading, as recorded."""
        base = self.rest()
        identity = {**self._session.identity, "attached_ns": str(base.time_ns)}
        with RecordingWriter(str(path), identity, self._session.areas) as writer:
            last = base

            def keep(step: Step) -> None:
                nonlocal last
                if isinstance(step, Reading):
                    step = last = since(step, base)
                writer.add(step)

            keep(base)
            for step in self._session.steps():
                keep(step)
                if not busy():
                    break
            self.rest(keep)
        return last

    def rest(self, keep: Callable[[Step], None] = lambda _: None) -> Reading:
        """Step until two readings with nothing between them; the second.

        Raises HostError where the areas do not come to rest.
        """
        for _ in range(_TRIES):
            before = None
            quiet = True
            for step in self._session.finish():
                keep(step)
                if isinstance(step, Batch):
                    quiet &= before is None or not step.data
                elif before is None:
                    before = step
                else:
                    after = step
            if quiet and before is not None and _same(before, after):
                return after
        raise HostError("the areas do not come to rest between two runs",
                        "run the trial where nothing else uses CMA")


def _same(before: Reading, after: Reading) -> bool:
    return (before.counts == after.counts and before.losses == after.losses
            and all(state.at_rest and not state.fault for state in after.states))


def since(reading: Reading, base: Reading) -> Reading:
    """The reading with counts and losses of what came after base."""
    was = {one.facts.index: one for one in base.counts}
    lost = base.losses.counts
    return replace(reading, counts=tuple(_less(one, was[one.facts.index])
                                         for one in reading.counts),
                   losses=Losses({kind: count - lost.get(kind, 0)
                                  for kind, count in reading.losses.counts.items()}))


def _less(now: AreaCounts, was: AreaCounts) -> AreaCounts:
    return AreaCounts(
        now.facts, {name: value - was.counters.get(name, 0)
                    for name, value in now.counters.items()},
        {kind: Latency(one.sum_ns - was.latencies[kind].sum_ns,
                       tuple(a - b for a, b in zip(one.slots, was.latencies[kind].slots,
                                                   strict=True)))
         for kind, one in now.latencies.items()})
