# SPDX-License-Identifier: GPL-2.0
"""The model, rule by rule; tests/property has it in lockstep with a second one."""

from __future__ import annotations

import pytest

from cmaobs import model
from cmaobs.model import PLAIN, RFC, Extent, Fault, Policy, State, Step, lowest, next_start
from cmaobs.runs import bits, first_fit, runs, union
from cmaobs.state import AreaFacts

FACTS = AreaFacts(0, "test", 0x1000, 64, 0)


def after(state: State, *steps: Step, policy: Policy = RFC) -> State | Fault:
    """The state after steps, or the first fault."""
    result: State | Fault = state
    for made in steps:
        assert isinstance(result, State), result
        result = model.step(policy, result, made)
    return result


def owning(*extents: tuple[int, int], batch: int = 1) -> State:
    """A state in which these runs were released, the last one newest."""
    state = State(FACTS, bits(0, 64), bits(0, 64), batch=batch)
    result = after(state, *(model.Defer(pfn, count) for pfn, count in extents))
    assert isinstance(result, State)
    return result


def rule(result: State | Fault) -> str:
    """The rule of a fault, or 'lawful'."""
    return result.rule if isinstance(result, Fault) else "lawful"


def test_r1_a_direct_release() -> None:
    state = after(State(FACTS, 0xF, 0xF), model.Direct(0x1000, 4), model.Unpick(0x1000, 4))
    assert state == State(FACTS, time=2)
    assert rule(after(State(FACTS, 0xF, 0xF), model.Defer(0x1000, 4))) == "R1"
    assert rule(after(State(FACTS, 0xF, 0xF, batch=1), model.Defer(0x1000, 4),
                      policy=PLAIN)) == "R1"


def test_r2_a_deferred_release_goes_to_the_head() -> None:
    state = owning((0x1000, 4), (0x1010, 8))
    assert [(e.pfn, e.pages) for e in state.extents] == [(0x1010, 8), (0x1000, 4)]
    assert state.defer_count == 12
    assert not state.reserved & bits(0, 4)


@pytest.mark.parametrize(("order", "base", "count", "align", "start", "want"), [
    (0, 0x1000, 4, 0, 0, 0), (0, 0x1000, 4, 3, 1, 8), (0, 0x1003, 4, 3, 0, 5),
    (2, 0x1000, 5, 0, 0, 0), (2, 0x1000, 4, 4, 1, 4), (2, 0x1004, 4, 4, 0, 3),
    (0, 0x1000, 65, 0, 0, None), (0, 0x1000, 0, 0, 0, None), (0, 0x1000, 64, 0, 1, None),
])
def test_r4_first_fit_as_the_kernel_aligns(order: int, base: int, count: int, align: int,
                                           start: int, want: int | None) -> None:
    facts = AreaFacts(0, "test", base, 64, order)
    assert lowest(facts, ~0, count, align, start) == want


def test_r5_one_extent_and_what_is_left_of_it() -> None:
    state = after(owning((0x1000, 16)), model.Fetch(0x1004, 4, True))
    assert isinstance(state, State)
    assert [(e.pfn, e.pages) for e in state.extents] == [(0x1000, 4), (0x1008, 8)]
    assert rule(after(owning((0x1000, 8)), model.Fetch(0x1004, 8, True))) == "R5"
    assert rule(after(owning((0x1000, 8)), model.Fetch(0x1004, 4, False))) == "R5"


def test_r5_adjacent_extents_do_not_make_one() -> None:
    state = owning((0x1000, 8), (0x1008, 8))
    assert rule(after(state, model.Fetch(0x1004, 8, True))) == "R5"
    assert rule(after(state, model.Fetch(0x1004, 8, True), policy=Policy(merge=True))) == "lawful"


def test_r6_a_flush_takes_every_extent() -> None:
    state = owning((0x1000, 8), (0x1010, 8))
    assert rule(after(state, model.Flush(((0x1010, 8),)))) == "R6"
    flushed = after(state, model.Flush(((0x1010, 8), (0x1000, 8))), model.Give(0x1010, 8))
    assert isinstance(flushed, State)
    assert (flushed.defer_count, flushed.moving) == (0, bits(0, 8))
    assert rule(after(flushed, model.Contig(0x1000, 8, 0))) == "R12"  # W2
    assert rule(after(flushed, model.Contig(0x1000, 8, -16))) == "lawful"


def test_r7_the_search_goes_on_further_up() -> None:
    assert next_start(FACTS, 0x1004, 0) == 5
    assert next_start(FACTS, 0x1008, 3) == 16
    assert next_start(AreaFacts(0, "test", 0x1000, 64, 2), 0x1008, 3) == 4


def test_r8_count() -> None:
    assert rule(after(owning((0x1000, 8)), model.Count(8))) == "lawful"
    assert rule(after(owning(), model.Count(None))) == "lawful"
    assert rule(after(owning(), model.Count(0))) == "R8"


@pytest.mark.parametrize(("asked", "returned", "taken", "want"), [
    (4, 4, ((0x1020, 4),), "lawful"), (4, 4, ((0x1024, 4),), "lawful"),
    (4, 4, ((0x1022, 4),), "R9"), (4, 4, ((0x1000, 4),), "R9"),
    (12, 12, ((0x1020, 8), (0x1000, 4)), "lawful"), (12, 12, ((0x1020, 8), (0x100C, 4)), "lawful"),
    (99, 24, ((0x1020, 8), (0x1000, 16)), "lawful"), (99, 8, ((0x1020, 8),), "R9"),
    (1, None, (), "lawful"), (1, 1, ((0x1020, 1),), "R9"), (4, None, (), "R9"),
    (8, 0, ((0x1020, 8),), "R9"), (8, 8, ((0x1020, 4), (0x1020, 4)), "R12"),
])
def test_r9_scan(asked: int, returned: int | None, taken: tuple[tuple[int, int], ...],
                 want: str) -> None:
    state = owning((0x1000, 16), (0x1020, 8), batch=2)
    assert rule(after(state, model.Scan(asked, returned, taken))) == want


def test_r9_the_policy_may_take_the_oldest_first() -> None:
    state = owning((0x1000, 16), (0x1020, 8))
    scan = model.Scan(4, 4, ((0x1000, 4),))
    assert rule(after(state, scan, policy=Policy(oldest_first=True))) == "lawful"


def test_r9_a_remainder_may_be_at_its_place_or_at_the_head() -> None:
    state = after(owning((0x1000, 16), (0x1020, 8)), model.Fetch(0x1000, 4, True))
    assert isinstance(state, State)
    for taken in (0x1004, 0x1020):
        assert rule(after(state, model.Scan(4, 4, ((taken, 4),)))) == "lawful"


def test_r12_no_two_owners_and_no_double_free() -> None:
    state = owning((0x1000, 8))
    assert rule(after(state, model.Contig(0x1010, 4, 0))) == "R12"
    assert rule(after(state, model.Defer(0x1000, 4))) == "R12"
    assert rule(after(state, model.Direct(0x1000, 4))) == "R12"
    assert rule(after(state, model.Give(0x1000, 4))) == "R12"


def test_runs_and_sets_are_each_other() -> None:
    for members in (0, 1, 0b1101100, bits(3, 70) | bits(100, 1)):
        assert union(runs(members, 0x1000), 0x1000) == members
    assert first_fit(0b1110111, 7, 3) == 0
    assert first_fit(0b1110111, 7, 3, 0, 0, 1) == 4
    assert first_fit(0b1110111, 7, 4) is None


def test_an_extent_remembers_when_it_was_listed() -> None:
    (extent,) = owning((0x1000, 8)).extents
    assert extent == Extent(0x1000, 8, 1, 1)
