# SPDX-License-Identifier: GPL-2.0
"""Watches for roots of divergence, and keeps for each a cut that leads to it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from cmaobs.crosscheck import Checker
from cmaobs.errors import RecordingWriteError
from cmaobs.evidence.store import MARK, Store
from cmaobs.evidence.window import Cut, Window
from cmaobs.observe import Observer
from cmaobs.runs import Run
from cmaobs.source import Batch, Source
from cmaobs.state import AreaFacts, Reading
from cmaobs.verdict import Divergence, Verdict

HELD_BYTES = 8 << 20  # of steps in memory: some 60000 records
AGAIN_S = 600.0

Key = tuple[str, str, int]


class Keeper:
    """Implements cmaobs.observe.Keeps.

    checker: the one that the observer feeds. judge: makes a new one for a source, as replay does.
    identity: of the live source, with the name of the policy where one was given.
    held_bytes: what the steps in memory may take. again_s: before another file for the same
    area and rule.
    """

    def __init__(self, store: Store, checker: Checker, judge: Callable[[Source], Checker],
                 identity: Mapping[str, str], areas: tuple[AreaFacts, ...],
                 held_bytes: int = HELD_BYTES, again_s: float = AGAIN_S) -> None:
        self._store, self._checker, self._judge = store, checker, judge
        self._identity = dict(identity)
        self._areas = {area.name: area for area in areas}
        self._window = Window(held_bytes)
        self._again_s = again_s
        self._files: dict[Key, str] = {}
        self._latest: dict[tuple[str, str], float] = {}
        self._failures = 0
        self._failure = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line where something could not be kept, however often."""
        if not self._failure:
            return ()
        more = f" ({self._failures} times)" if self._failures > 1 else ""
        return (f"evidence: {self._failure}{more}",)

    def add(self, step: Batch | Reading) -> None:
        """A step of the live source."""
        self._window.add(step)

    def told(self, verdict: Verdict, reading: Reading) -> None:
        """Keep evidence of roots that are new; of one area and rule once in again_s."""
        for divergence in verdict.divergences:
            key = _key(divergence)
            if key in self._files:
                continue
            self._files[key] = ""
            kind = (divergence.area, divergence.rule)
            now_s = reading.time_ns / 1e9
            if now_s - self._latest.get(kind, float("-inf")) < self._again_s:
                continue
            self._latest[kind] = now_s
            try:
                self._files[key] = self._keep(divergence, reading)
            except RecordingWriteError as error:
                self._note(error.message)
            except OSError as error:
                self._note(f"{error.filename or 'the directory'}: {error.strerror}")

    def named(self, verdict: Verdict) -> Verdict:
        """The verdict with the file of each divergence that has one."""
        return replace(verdict, divergences=tuple(
            replace(one, evidence=self._files.get(_key(one), ""))
            for one in verdict.divergences))

    def _note(self, what: str) -> None:
        self._failure = self._failure or what
        self._failures += 1

    def _keep(self, divergence: Divergence, reading: Reading) -> str:
        area = self._areas[divergence.area]
        near = cut = None
        identity = dict[str, str]()
        for cut in self._window.cuts(divergence, area):
            identity = self._described(divergence, cut)
            found = self._reached(divergence, area, cut, identity)
            if _whole(divergence) in map(_whole, found):
                break
            near = near or (cut if found else None)
        else:
            cut = near or cut
            assert cut is not None  # there is always the whole window
            identity = self._described(divergence, cut)
            identity["reproduces"] = "yes" if near else "no"
        path = self._store.write(area, divergence.rule, reading.wall_s, identity, cut.steps)
        return str(path)

    def _described(self, divergence: Divergence, cut: Cut) -> dict[str, str]:
        identity = {**self._identity, "cut": cut.begins, "reproduces": "yes",
                    "at_ns": str(divergence.at_ns), "told": str(divergence)}
        if cut.blind_ns:
            identity["blind_ns"] = str(cut.blind_ns)
        if self._checker.settled_ns is not None:
            identity["settled_ns"] = str(self._checker.settled_ns)
        if not self._checker.batch_probed(divergence.area):
            identity["batch_probed"] = "no"
        return identity

    def _reached(self, divergence: Divergence, area: AreaFacts, cut: Cut,
                 identity: Mapping[str, str]) -> list[Divergence]:
        """The same divergence by replay of the cut; with less before, bounds may be wider."""
        source = _Steps(cut.steps, {**identity, MARK: divergence.rule}, (area,))
        observer = Observer(source, self._judge(source))
        for _ in observer.steps():
            pass
        verdict = observer.view.verdict
        return [one for one in (verdict.divergences if verdict is not None else ())
                if _whole(one)[:3] == _whole(divergence)[:3]]


class _Steps:
    """Steps in memory as a source."""

    def __init__(self, steps: tuple[Batch | Reading, ...], identity: Mapping[str, str],
                 areas: tuple[AreaFacts, ...]) -> None:
        self._steps, self.identity, self.areas = steps, identity, areas

    def steps(self) -> Iterator[Batch | Reading]:
        """Each of them."""
        return iter(self._steps)

    def close(self) -> None:
        """Nothing is open."""


def _key(divergence: Divergence) -> Key:
    return divergence.area, divergence.rule, divergence.at_ns


def _whole(divergence: Divergence) -> tuple[str, int, tuple[Run, ...], str, str]:
    return (divergence.rule, divergence.at_ns, divergence.pages, divergence.expected,
            divergence.observed)
