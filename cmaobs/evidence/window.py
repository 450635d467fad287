# SPDX-License-Identifier: GPL-2.0
"""The latest steps of a source, bounded in bytes, and what can be cut from them. Pure.

A cut begins where replay may begin without being misled: at a snapshot of the area at
rest, of which everything is learned, or else where the window begins, and then operations that
began earlier are not judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from cmaobs.events import RECORD, Record, decode
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, AreaState, Losses, Reading
from cmaobs.verdict import Divergence

_WORDS = RECORD.size // 8
_RUN_BYTES = 120  # a run of a state in memory: a tuple of two numbers
_READING_BYTES = 2000
Step = Batch | Reading


@dataclass(frozen=True, slots=True)
class Cut:
    """Steps of one area. begins: rest, attach (nothing was before) or bound.

    blind_ns: operations that began before are not judged; 0 where there are none.
    """

    steps: tuple[Step, ...]
    begins: str
    blind_ns: int = 0


class Window:
    """Steps as they come; the oldest are dropped when they take more than limit bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._steps: deque[Step] = deque()
        self._bytes = 0
        self._dropped_ns = 0
        self._dropped_losses = Losses({})
        self._stacks: dict[int, tuple[str, ...]] = {}

    def add(self, step: Step) -> None:
        """The next step; empty batches only move the watermark of the one before."""
        if isinstance(step, Reading):
            self._stacks.update(step.stacks)
            step = replace(step, counts=(), stacks={})
        elif not step.data and self._steps and isinstance(last := self._steps[-1], Batch):
            self._steps[-1] = replace(last, watermark_ns=max(last.watermark_ns, step.watermark_ns))
            return
        self._steps.append(step)
        self._bytes += _size(step)
        while self._bytes > self._limit and len(self._steps) > 1:
            self._drop()

    def _drop(self) -> None:
        step = self._steps.popleft()
        self._bytes -= _size(step)
        if isinstance(step, Reading):
            self._dropped_losses = step.losses
            ended = step.time_ns
        else:
            ended = max(_column(step, "end_ns"), default=0)
        self._dropped_ns = max(self._dropped_ns, ended)

    def cuts(self, divergence: Divergence, area: AreaFacts) -> Iterator[Cut]:
        """A few, the most wanted first.

        From a rest before all operations concerned, the latest such rest first; else from a rest
        before the last of them; else all there is.
        """
        starts = [op.record.start_ns for op in divergence.operations]
        first = min(starts, default=divergence.at_ns)
        last = divergence.at_ns if divergence.at_rest else max(starts, default=divergence.at_ns)
        rests = list(self._rests(area))
        early = [rest for rest in rests if rest[1].end_ns < first]
        late = [rest for rest in rests if first <= rest[1].end_ns < last]
        back = 1
        while back <= len(early):
            yield self._from_rest(area, *early[-back])
            back *= 4
        whole = self._whole(area)
        if whole.begins == "attach":
            yield whole
        if late:
            yield self._from_rest(area, *late[-1])
        if whole.begins != "attach":
            yield whole

    def _rests(self, area: AreaFacts) -> Iterator[tuple[int, AreaState, Reading]]:
        """Readings at which the area was at rest and nothing had been lost since the one before."""
        before: Reading | None = None
        for at, step in enumerate(self._steps):
            if isinstance(step, Batch):
                continue
            for state in step.states:
                if (state.facts.index == area.index and state.at_rest and not state.fault
                        and before is not None and before.losses == step.losses):
                    yield at, state, step
            before = step

    def _from_rest(self, area: AreaFacts, at: int, state: AreaState, reading: Reading) -> Cut:
        """The snapshot, and with it what began after it and was delivered ahead of it."""
        early: list[Record] = []
        watermark = 0
        for step in islice(self._steps, at):
            if isinstance(step, Reading):
                early.clear()
                continue
            watermark = max(watermark, step.watermark_ns)
            if max(_column(step, "start_ns"), default=0) > state.end_ns:
                early += [record for record in decode(step.data) if record.area == area.index
                          and (record.op_ns or record.start_ns) > state.end_ns]
        first = Batch(b"".join(RECORD.pack(*record) for record in early), watermark)
        later = islice(self._steps, at, None)
        return Cut(self._of_area(area, [first, *later], reading.losses), "rest")

    def _whole(self, area: AreaFacts) -> Cut:
        if not self._dropped_ns:
            return Cut(self._of_area(area, list(self._steps), Losses({})), "attach")
        # what the first reading here counts may have been lost here, or before
        steps = self._of_area(area, list(self._steps), self._dropped_losses)
        return Cut(steps, "bound", self._dropped_ns)

    def _of_area(self, area: AreaFacts, steps: list[Step], losses: Losses) -> tuple[Step, ...]:
        """What of the steps is about the area; losses count from those given."""
        out: list[Step] = []
        lost: dict[int, int] = {}
        used: set[int] = set()
        for step in steps:
            if isinstance(step, Batch):
                mine = []
                for record in decode(step.data):
                    # nothing is said of earlier losses; later ones are in the readings
                    base = lost.setdefault(record.cpu, record.lost)
                    if record.area == area.index:
                        mine.append(record._replace(lost=max(record.lost - base, 0)))
                        used.add(record.stack)
                out.append(Batch(b"".join(RECORD.pack(*record) for record in mine),
                                 step.watermark_ns))
                continue
            known = {number: self._stacks[number] for number in used if number in self._stacks}
            used.clear()
            states = tuple(state for state in step.states if state.facts.index == area.index)
            since = Losses({kind: max(count - losses.counts.get(kind, 0), 0)
                            for kind, count in step.losses.counts.items()})
            out.append(replace(step, states=states, losses=since, stacks=known))
        return tuple(out)


def _size(step: Step) -> int:
    if isinstance(step, Batch):
        return len(step.data) + 100
    return _READING_BYTES + _RUN_BYTES * sum(
        len(state.allocated) + len(state.extents or ()) for state in step.states)


def _column(batch: Batch, name: str) -> list[int]:
    """A 64-bit member of each record."""
    if not batch.data:
        return []
    at = RECORD.fields.index(name)  # 64-bit members come first
    return memoryview(batch.data).cast("Q")[at::_WORDS].tolist()
