# SPDX-License-Identifier: GPL-2.0
"""An operation as steps of the model, each with the interval it took effect in.

Written from mechanism.md and the record format, apart from the checker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from cmaobs.events import SHRINK_EMPTY, SHRINK_STOP, Kind, Operation, Path, Record
from cmaobs.model import (
    EBUSY,
    Contig,
    Count,
    Defer,
    Direct,
    Fault,
    Fetch,
    Flush,
    Give,
    Pick,
    Policy,
    Scan,
    SetBatch,
    State,
    Step,
    Unpick,
    next_start,
    step,
)
from cmaobs.runs import bits, union
from cmaobs.state import AreaFacts


class Read(NamedTuple):
    """defer_count was read without the lock, and at return batch too."""

    value: int
    batch: int | None = None


class Orphan(NamedTuple):
    """R3's spirit in a hit: no memory for a remainder, so it leaves the list too."""

    pfn: int
    pages: int


class Timed(NamedTuple):
    """A step and when it took effect, in ns."""

    lo: int
    hi: int
    step: Step | Read | Orphan


class Contradiction(Exception):
    """The records cannot be put as steps at all."""


def micro(op: Operation, facts: AreaFacts) -> list[Timed]:
    """The steps in program order, between two reads of defer_count: outside of any call."""
    r = op.record
    steps: list[Timed]
    if r.kind == Kind.ALLOC:
        steps = _alloc(op, facts)
    elif r.kind == Kind.RELEASE:
        steps = _release(op, facts)
    elif r.kind == Kind.COUNT:
        if r.ret == 0:
            raise Contradiction("R8")
        steps = [Timed(r.start_ns, r.end_ns, Count(None if r.ret == SHRINK_EMPTY else r.ret))]
    elif r.kind == Kind.SCAN:
        freed = tuple((c.pfn, c.count) for c in op.calls)
        made = Scan(r.count, None if r.ret == SHRINK_STOP else r.ret, freed)
        steps = [Timed(r.start_ns, _first(op.calls, r.end_ns), made), *_gives(op.calls)]
    else:
        steps = []
        if not r.ret:
            until = _first(op.calls, r.end_ns)
            steps.append(Timed(r.start_ns, until, SetBatch(r.count)))
            if not r.count:
                freed = tuple((c.pfn, c.count) for c in op.calls)
                steps.append(Timed(r.start_ns, until, Flush(freed)))
        if op.calls and (r.ret or r.count):
            raise Contradiction("R6")
        steps += _gives(op.calls)
    over = max((c.end_ns for c in op.calls), default=r.start_ns)
    return [Timed(r.start_ns, _first(op.calls, r.end_ns), Read(r.defer_entry)), *steps,
            Timed(over, max(over, r.end_ns), Read(r.defer_exit, r.batch))]


def _first(calls: tuple[Record, ...] | list[Record], end: int) -> int:
    return min((c.start_ns for c in calls), default=end)


def _gives(calls: tuple[Record, ...] | list[Record]) -> list[Timed]:
    return [Timed(c.start_ns, c.end_ns, Give(c.pfn, c.count)) for c in calls]


def _alloc(op: Operation, facts: AreaFacts) -> list[Timed]:
    r = op.record
    steps: list[Timed] = []
    lo, start, frees, last = r.start_ns, 0, list[Record](), None
    for call in sorted(op.calls, key=lambda c: c.start_ns):
        if call.kind == Kind.FREE:
            frees.append(call)
            continue
        if last not in (None, -EBUSY) or call.count != r.count:
            raise Contradiction("R7")
        hi = _first(frees, call.start_ns)
        steps += [Timed(lo, hi, Pick(r.count, r.align, start, call.pfn)),
                  Timed(lo, hi, Fetch(call.pfn, r.count, False)),
                  Timed(lo, hi, Flush(tuple((f.pfn, f.count) for f in frees))), *_gives(frees),
                  Timed(call.start_ns, call.end_ns, Contig(call.pfn, call.count, call.ret))]
        last = call.ret
        if call.ret:
            steps.append(Timed(call.end_ns, r.end_ns, Unpick(call.pfn, call.count)))
            start = next_start(facts, call.pfn, r.align)
        lo, frees = call.end_ns, []
    if (last == 0) != (r.path == Path.CONTIG) or (last not in (None, -EBUSY)
                                                  and r.path == Path.HIT):
        raise Contradiction("R7")
    if r.path == Path.HIT:
        hi = _first(frees, r.end_ns)
        steps += [Timed(lo, hi, Pick(r.count, r.align, start, r.pfn)),
                  Timed(lo, hi, Fetch(r.pfn, r.count, True)),
                  *(Timed(lo, hi, Orphan(f.pfn, f.count)) for f in frees), *_gives(frees)]
    elif frees:
        raise Contradiction("R6")
    elif last in (None, -EBUSY):
        steps.append(Timed(lo, r.end_ns, Pick(r.count, r.align, start, None)))
    return steps


def _release(op: Operation, facts: AreaFacts) -> list[Timed]:
    r = op.record
    within = facts.base_pfn <= r.pfn < facts.base_pfn + facts.count
    if bool(r.ret) != within:
        raise Contradiction("R1")
    if not within:
        return []
    if not op.calls:
        if not r.count:
            return []
        return [Timed(r.start_ns, r.end_ns, Defer(r.pfn, r.count))]
    if union((c.pfn, c.count) for c in op.calls) != bits(r.pfn, r.count):
        raise Contradiction("R1")
    steps = [Timed(c.start_ns, c.end_ns, Direct(c.pfn, c.count)) for c in op.calls]
    return [*steps, Timed(op.calls[-1].end_ns, r.end_ns, Unpick(r.pfn, r.count))]


def take(policy: Policy, state: State, made: Step | Read | Orphan) -> State | Fault:
    """One step, with the two that the model leaves to its users."""
    if isinstance(made, Read):
        if state.defer_count == made.value and made.batch in (None, state.batch):
            return state
        return Fault("R10", f"{state.defer_count}", f"{made.value}")
    if isinstance(made, Orphan):
        found = step(policy, state, Fetch(made.pfn, made.pages, True))
        if isinstance(found, Fault):
            return found
        pages = bits(made.pfn - state.facts.base_pfn, made.pages)
        return replace(found, owned=found.owned & ~pages, moving=found.moving | pages)
    return step(policy, state, made)


def alone(policy: Policy, state: State, op: Operation) -> State | Fault:
    """The operation with nothing else in flight: its steps one after the other."""
    try:
        steps = micro(op, state.facts)
    except Contradiction as fault:
        return Fault(str(fault), "", "")
    for timed in steps:
        result = take(policy, state, timed.step)
        if isinstance(result, Fault):
            return result
        state = result
    return state
