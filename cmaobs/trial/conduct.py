# SPDX-License-Identifier: GPL-2.0
"""All runs of a scale, and the manifest that says what they were."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from cmaobs.errors import HostError, UsageError
from cmaobs.kernel.session import Options, Session
from cmaobs.load.area import Area, find, refused
from cmaobs.study import manifest
from cmaobs.study.manifest import LeftOut, Manifest, Run
from cmaobs.trial import host, plan, worker
from cmaobs.trial.cut import Cutter
from cmaobs.trial.plan import Planned

POLL_S, READING_S = 0.05, 0.2
Say = Callable[[float], None]


def conduct(directory: Path, scale: plan.Scale, area_name: str | None, seed: int,
            limit_s: float, progress: Say) -> Manifest:
    """Run all and leave the recordings and their manifest in the directory.

    limit_s: no repetition is begun that would end later, by what the longest took. Raises
    CmaobsError: no such area, a kernel that does not defer, an area that others use.
    """
    began = time.monotonic()
    area = find(Path("/"), area_name)
    if area.heap is None:
        raise HostError(f"area {area.name} has no dma-buf heap, through which the load is made",
                        "a kernel with DMABUF_HEAPS_CMA; its heap is that of the default area")
    was = area.batch.read_text()
    rounds, left_out = plan.rounds(scale, area.pages, seed)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(directory, error) from error
    if (directory / manifest.NAME).exists():
        raise UsageError(f"{directory} holds the runs of an earlier trial",
                         "name another directory, or remove it first")
    # The child comes first, so that it has none of the observer's descriptors and threads.
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _child) as pool:
        pool.submit(worker.ready).result()
        trial = _Trial(directory, area, pool,
                       Manifest(directory, host.facts(Path("/"), area), (), tuple(left_out)))
        try:
            trial.warm_up(rounds[0][0][0])
            trial.run_all(rounds, began + limit_s, progress)
        finally:
            trial.close()
            area.batch.write_text(was)
    return trial.manifest


def _child() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Trial:
    """One observer over all runs."""

    def __init__(self, directory: Path, area: Area, pool: ProcessPoolExecutor,
                 begun: Manifest) -> None:
        self.manifest = begun
        self._directory, self._area, self._pool = directory, area, pool
        self._session = Session(Options(poll_s=POLL_S, reading_s=READING_S))
        self._cutter = Cutter(self._session)
        identity = self._session.identity
        self.manifest = replace(begun, host={**begun.host, "observer": ", ".join((
            f"probed by {identity['attach']}", f"a reading each {READING_S} s"))})

    def run_all(self, rounds: Sequence[plan.Blocks], ends: float, progress: Say) -> None:
        """Each repetition that is over in time; ends: of time.monotonic()."""
        total, longest = sum(len(block) for blocks in rounds for block in blocks), 0.0
        done = 0
        for repetition, blocks in enumerate(rounds):
            began = time.monotonic()
            if began + longest > ends:
                self._leave(LeftOut("all", "all", 0, "all", f"repetitions from {repetition + 1} on "
                                    "would not have ended within the time limit"))
                break
            for block in blocks:
                self._pool.submit(worker.prepare, self._area.name,
                                  block[0].setting.condition).result()
                for planned in block:
                    self.run(planned)
                    done += 1
                    progress(done / total)
            longest = max(longest, time.monotonic() - began)
        self._pool.submit(worker.prepare, self._area.name, "idle").result()

    def warm_up(self, planned: Planned) -> None:
        """The same once more, unrecorded: what is slow the first time is over then."""
        self._set(planned.setting.batch)
        self._pool.submit(worker.run, self._area.name, planned).result()

    def run(self, planned: Planned) -> None:
        """One recording."""
        setting = planned.setting
        self._set(setting.batch)
        name = (f"{len(self.manifest.runs):04}-{setting.question}-{setting.condition}-"
                f"batch{setting.batch}.cmarec")
        began = time.monotonic()
        future = None

        def busy() -> bool:
            nonlocal future
            if future is None:
                future = self._pool.submit(worker.run, self._area.name, planned)
            return not future.done()

        self._cutter.record(self._directory / name, busy)
        assert future is not None
        try:
            done = future.result()
        except HostError as error:
            (self._directory / name).unlink()
            self._leave(LeftOut(setting.question, setting.condition, setting.threads,
                                setting.sizes, f"repetition {planned.repetition + 1}, batch "
                                f"{setting.batch}: {error.message}"))
            return
        self.manifest = replace(self.manifest, runs=(*self.manifest.runs, Run(
            name, setting.question, setting.condition, setting.batch, setting.threads,
            setting.sizes, setting.operations, planned.seed, planned.repetition, done.seconds,
            {**done.load, "whole_run_s": round(time.monotonic() - began, 3)}, done.vmstat)))
        self._keep()

    def _leave(self, one: LeftOut) -> None:
        self.manifest = replace(self.manifest, left_out=(*self.manifest.left_out, one))
        self._keep()

    def _keep(self) -> None:
        """So that a trial that is ended before its time can be reported as far as it came."""
        part = self._directory / f"{manifest.NAME}.part"
        part.write_text(self.manifest.dump())
        part.replace(self._directory / manifest.NAME)

    def close(self) -> None:
        """Detach."""
        self._session.close()

    def _set(self, batch: int) -> None:
        """From an empty list on."""
        self._area.batch.write_text("0")
        self._area.batch.write_text(str(batch))
