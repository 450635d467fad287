# SPDX-License-Identifier: GPL-2.0
"""The model and a second implementation of the rules do the same, step by step."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from reference.paged import Paged

from cmaobs import model
from cmaobs.model import RFC, Fault, State, Step
from cmaobs.runs import runs
from cmaobs.state import AreaFacts

COUNT = st.sampled_from((1, 1, 2, 3, 4, 5, 8, 0, 40))
ALIGN = st.integers(0, 4)


class Lockstep(RuleBasedStateMachine):
    """Both are told the same; the model must accept what the other did, and nothing else."""

    @initialize(order=st.integers(0, 2), base=st.sampled_from((0, 16, 20, 4100)),
                batch=st.integers(0, 3))
    def begin(self, order: int, base: int, batch: int) -> None:
        self.facts = AreaFacts(0, "lockstep", base, 32, order)
        self.state = State(self.facts, batch=batch)
        self.other = Paged(self.facts, batch)
        self.held: list[tuple[int, int]] = []

    def do(self, step: Step) -> None:
        """The model takes the step."""
        result = model.step(RFC, self.state, step)
        assert isinstance(result, State), f"{step}: {result}"
        self.state = result

    def refused(self, step: Step, rule_name: str) -> None:
        """The model does not take the step."""
        result = model.step(RFC, self.state, step)
        assert isinstance(result, Fault), f"{step}: accepted"
        assert result.rule == rule_name, f"{step}: {result}"

    @rule(count=COUNT, align=ALIGN, busy=st.integers(0, 3), error=st.booleans())
    def alloc(self, count: int, align: int, busy: int, error: bool) -> None:
        start = 0
        while True:
            at = self.other.search(count, align, start)
            pfn = None if at is None else self.other.base + at * self.other.granule
            self.refused(model.Pick(count, align, start, -1), "R4")
            self.do(model.Pick(count, align, start, pfn))
            if pfn is None:
                return
            self.other.mark(pfn, count, True)
            hit = self.other.held_by_one(pfn, count)
            self.refused(model.Fetch(pfn, count, not hit), "R5")
            self.do(model.Fetch(pfn, count, hit))
            if hit:
                self.other.take(set(range(pfn, pfn + count)))
                break
            self.flush()
            if self.contig(pfn, count, busy, error):
                break
            self.other.mark(pfn, count, False)
            self.do(model.Unpick(pfn, count))
            if not busy:
                return
            busy -= 1
            start = model.next_start(self.facts, pfn, align)
        self.other.own(pfn, count, True)
        self.held.append((pfn, count))

    def contig(self, pfn: int, count: int, busy: int, error: bool) -> bool:
        owned = any(self.other.owned[pfn - self.other.base:][:count])
        ret = -16 if busy or owned else -12 if error else 0
        if owned:
            self.refused(model.Contig(pfn, count, 0), "R12")
        self.do(model.Contig(pfn, count, ret))
        return not ret

    def flush(self) -> None:
        freed = tuple((extent[0], len(extent)) for extent in self.other.list)
        if freed:
            self.refused(model.Flush(freed[1:]), "R6")
        self.do(model.Flush(freed))
        self.other.list = []
        for pfn, count in freed:
            self.do(model.Give(pfn, count))
            self.refused(model.Give(pfn, count), "R12")

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99), part=st.integers(0, 8), memory=st.booleans())
    def release(self, which: int, part: int, memory: bool) -> None:
        pfn, count = self.held.pop(which % len(self.held))
        part -= part % self.other.granule
        if 0 < part < count:
            self.held.append((pfn + part, count - part))
            count = part
        self.other.own(pfn, count, False)
        self.other.mark(pfn, count, False)
        if self.other.batch and memory:
            self.other.list.insert(0, list(range(pfn, pfn + count)))
            self.do(model.Defer(pfn, count))
            self.refused(model.Defer(pfn, count), "R12")
        else:
            self.do(model.Direct(pfn, count))
            self.do(model.Unpick(pfn, count))
            self.refused(model.Direct(pfn, count), "R12")
        if not self.other.batch:
            self.refused(model.Defer(pfn, count), "R1")

    @rule(asked=st.integers(0, 12), tail=st.booleans())
    def scan(self, asked: int, tail: bool) -> None:
        before = self.other.deferred()
        returned, freed = self.other.scan(asked, tail)
        self.refused(model.Scan(asked, (returned or 0) + 1, freed), "R9")
        self.do(model.Scan(asked, returned, freed))
        assert len(before) - len(self.other.deferred()) == (returned or 0)
        for run in freed:
            self.do(model.Give(*run))

    @rule()
    def count(self) -> None:
        seen = len(self.other.deferred())
        self.do(model.Count(seen or None))
        self.refused(model.Count(seen + 1), "R8")

    @rule(batch=st.integers(0, 4))
    def set_batch(self, batch: int) -> None:
        self.other.batch = batch
        self.do(model.SetBatch(batch))
        if not batch:
            self.flush()

    @invariant()
    def same(self) -> None:
        base = self.facts.base_pfn
        assert self.state.defer_count == len(self.other.deferred())  # R10
        assert [list(range(e.pfn, e.pfn + e.pages)) for e in self.state.extents] == self.other.list
        assert runs(self.state.reserved) == runs(_number(self.other.bits))
        assert runs(self.state.owned) == runs(_number(self.other.owned))
        assert self.state.batch == self.other.batch
        deferred = _number([page + base in self.other.deferred()
                            for page in range(self.facts.count)])
        assert self.state.deferred == deferred
        assert not deferred & self.state.owned
        assert not self.state.moving


def _number(members: list[bool]) -> int:
    return sum(1 << i for i, member in enumerate(members) if member)


TestLockstep = Lockstep.TestCase
TestLockstep.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
