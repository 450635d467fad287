# SPDX-License-Identifier: GPL-2.0
"""The demand of a run, under the rules that its kernel followed, comes to what was recorded."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from golden import demands
from hypothesis import given, settings
from hypothesis import strategies as st
from property import test_whatif_quick
from reference.kernel import Kernel
from reference.load import facts

from cmaobs import lane
from cmaobs.events import Path
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading, Run
from cmaobs.steps import Policy
from cmaobs.whatif import fast
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures, shipped
from cmaobs.whatif.latency import stretches
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import KEEP, VARIANTS, Named, named

SEEDS = st.integers(0, 1 << 32)


def areas(random: Random) -> AreaFacts:
    return facts(random.choice((16, 32, 64, 80)), random.choice((0, 0, 1, 2)),
                 random.choice((0x1000, 0x1008, 0x1014)))


def run_of(seed: int, patched: bool, operations: int = 80, order: int | None = None) -> Demand:
    """One thread on the small kernel; it has a past when the recording begins."""
    random = Random(seed)
    area = areas(random)
    if order is not None:
        area = replace(area, order_per_bit=order)
    kernel = Kernel(area, random, random.choice((0, 1, 4)) if patched else 0)
    kernel.chance = 0.0
    held: list[Run] = []
    size = kernel.facts.count
    steps: list[Batch | Reading] = []
    for number in range(operations):
        dice = random.random()
        if held and dice < 0.45:
            pfn, count = held.pop(random.randrange(len(held)))
            job = kernel.release(1, pfn, count)
        elif patched and dice < 0.5:
            # one that takes a part may find what is left of a split extent in either order
            job = kernel.scan(1, random.choice((0, size)))
        elif patched and dice < 0.54:
            job = kernel.set_batch(1, random.choice((0, 1, 4)))
        else:
            count = random.choice((1, 2, 3, 4, 8, 16, size // 4, size + 1))
            job = kernel.alloc(1, count, random.choice((0, 0, 1, 3)), held)
        for _ in job:
            pass
        if number == operations // 4:
            kernel.out.clear()
            steps.append(demands.reading(kernel))
        elif steps and random.random() < 0.2:
            steps += [demands.told(kernel), demands.reading(kernel)]
    steps += [demands.told(kernel), demands.reading(kernel)]
    found, left_out = demands.gathered(steps, [kernel.facts],
                                       {"patched": "yes" if patched else "no"})
    assert not left_out
    (demand,) = found
    assert not demand.left_out
    return demand


@pytest.mark.parametrize("policy", ["rfc", "plain"])
@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_run_of_one_thread_is_reproduced(policy: str, seed: int) -> None:
    demand = run_of(seed, policy == "rfc")
    result = Replay(demand, named(policy)).run()
    assert bytes(result.paths) == bytes(demand.asks.paths)
    assert result.pfns == demand.asks.pfns
    assert not result.assumed
    assert not result.unreleased


def test_the_lane_does_the_demo_as_the_model_does() -> None:
    demand = demands.demo()
    figures = Figures([demand], shipped())
    for name in ("rfc", "plain", "prefer-deferred+flush-overlap", "keep-256"):
        for chance in (0, 1):
            slow = Replay(demand, named(name), 64, chance).run()
            assert vars_of(fast.run(demand, named(name), 64, chance)) == vars_of(slow)
            assert fast.stretches(demand, slow, figures) == stretches(demand, slow, figures)


@given(seed=SEEDS, batch=st.sampled_from((1, 4, 16)), parts=st.sets(
    st.sampled_from((*VARIANTS, "keep-4", "keep-20")), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_every_policy_keeps_to_the_model(seed: int, batch: int, parts: set[str]) -> None:
    """The model refuses a step that breaks a rule: none does. Pages add up at the end."""
    rules = named("+".join(sorted(parts)))
    result = Replay(run_of(seed, True), rules, batch).run()
    state = result.state
    assert state is not None
    assert not state.moving
    assert not state.deferred & state.owned
    kept = [int(match[1]) for part in sorted(parts) if (match := KEEP.fullmatch(part))]
    if kept:
        assert result.withheld.peak <= kept[-1]


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_without_deferral_nothing_is_withheld_and_nothing_hits(seed: int) -> None:
    result = Replay(run_of(seed, True), named("plain"), 0).run()
    assert Path.HIT not in result.paths
    assert result.withheld.peak == 0
    assert not sum(result.flushed)


@given(seed=SEEDS, batch=st.sampled_from((None, 1, 4, 16)), chance=st.sampled_from((0, 0, 1, 9)),
       parts=st.sets(st.sampled_from((*VARIANTS, "keep-20")), max_size=3))
@settings(max_examples=400, deadline=None)
def test_the_lane_does_what_the_model_does(seed: int, batch: int | None, chance: int,
                                           parts: set[str]) -> None:
    assert not lane.missing()
    demand = run_of(seed, True, order=0)
    demand.busy = seed % 3
    rules = named("+".join(sorted(parts)) or ("rfc", "plain")[seed % 2])
    slow, quick = Replay(demand, rules, batch, chance).run(), fast.run(demand, rules, batch, chance)
    assert vars_of(quick) == vars_of(slow)
    figures = Figures([demand], shipped())
    assert fast.stretches(demand, slow, figures) == stretches(demand, slow, figures)


@given(seed=SEEDS, chance=st.sampled_from((0, 1, 9)),
       parts=st.sets(st.sampled_from((*VARIANTS, "keep-20")), max_size=3))
@settings(max_examples=200, deadline=None)
def test_the_lane_has_threads_wait_as_the_model_does(seed: int, chance: int, parts: set[str]
                                                     ) -> None:
    steps, area = test_whatif_quick.run_of(seed)
    found, _ = demands.gathered(steps, [area], {})
    rules = named("+".join(sorted(parts)) or "rfc")
    for demand in found:
        assert demand.threads > 1
        slow, quick = (run(demand, rules, 4, chance)
                       for run in (lambda *given: Replay(*given).run(), fast.run))
        assert vars_of(quick) == vars_of(slow)


def vars_of(result: Result) -> dict[str, object]:
    """All that a result says, but for the model's own state."""
    held = result.withheld
    return {name: getattr(result, name) for name in Result.__slots__
            if name not in ("state", "withheld")} | {
        name: getattr(held, name) for name in ("sums", "most", "clear", "longest", "peak")}


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_policy_that_may_hit_more_places_is_lawful_where_the_rfcs_model_refuses(
        seed: int) -> None:
    """The variants are told apart by the model: what one does, the RFC's rules forbid or it is
    the same as theirs."""
    demand = run_of(seed, True)
    mixed = Named("mixed", Policy())
    mixed.place = named("prefer-deferred").place  # type: ignore[method-assign]
    try:
        result = Replay(demand, mixed, 4).run()
    except Exception as error:  # noqa: BLE001 - the kind is looked at
        assert "R4" in str(error)
    else:
        assert result.pfns == Replay(demand, named("rfc"), 4).run().pfns
