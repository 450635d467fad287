# SPDX-License-Identifier: GPL-2.0
"""The fast lane against every order, and against the checker without it.

What it explains must be lawful, and what it leaves must be judged as if it
were not there.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from reference.brute import TooMany, lawful
from reference.kernel import Kernel, Steps
from reference.load import Crew, Job, Watch, facts, job, run
from reference.mistakes import DEFECTS
from reference.small import begin, judge, world

from cmaobs import lane
from cmaobs.crosscheck import Checker, Limits
from cmaobs.events import Operation, Path
from cmaobs.model import PLAIN, RFC
from cmaobs.runs import Run
from cmaobs.verdict import Outcome

LONG = int(os.environ.get("CMAOBS_LONG", "1"))


def area(seed: int):  # type: ignore[no-untyped-def]
    """One page to a bit: the lane leaves other areas alone."""
    return facts((16, 32, 64, 80)[seed % 4], 0, (0, 0x1000, 0x1008, 0x1014)[seed // 4 % 4])


def test_it_was_compiled() -> None:
    """Where there is a compiler, as here, there is a lane."""
    assert not lane.missing()


def test_what_it_explains_is_lawful() -> None:
    seen: Counter[str] = Counter()
    found_before = (7006945, 7008702, 7229095)  # reads of defer_count that no one order allows
    for seed in (*range(7_000_000, 7_000_000 + 3000 * LONG), *found_before):
        _, made = world(seed)
        checker = judge(made, raw=True)
        outcome = checker.verdict().outcome
        try:
            truth = lawful(made[1], begin(made[0]), made[2])
        except TooMany:
            continue
        whole = checker.stats["explained"] == len(made[1])
        assert not (truth and outcome is Outcome.DIVERGE), seed
        if whole and outcome is Outcome.AGREE and not truth:  # the list's order is not its own
            assert lawful(made[1], begin(made[0]), made[2], ordered=False), seed
        seen[f"{'lawful' if truth else 'faulty'} {'explained' if whole else 'left'}"] += 1
        seen["overlapping"] += checker.stats["explained_overlapping"] > 0
    assert seen["lawful explained"] > 200
    assert seen["faulty left"] > 100
    assert seen["overlapping"] > 50


def test_two_that_overlap() -> None:
    """Whatever two hits or deferred releases may have read of defer_count, lawful or not."""
    seen: Counter[str] = Counter()
    for seed in range(6_000_000, 6_000_000 + 6000 * LONG):
        _, (first, made, *after) = world(seed)
        pair = [operation.record for operation in made]
        if len(pair) != 2 or any(operation.calls for operation in made) or \
                max(one.start_ns for one in pair) > min(one.end_ns for one in pair) or \
                any(one.path not in (Path.HIT, Path.DEFERRED) for one in pair):
            continue
        by = [-one.count if one.path == Path.HIT else one.count for one in pair]
        before = first.defer_count or 0
        counts = sorted({before, *(before + change for change in by), before + sum(by)})
        for read in product([count for count in counts if count >= 0], repeat=4):
            told = [Operation(one._replace(defer_entry=entry, defer_exit=left), ())
                    for one, entry, left in zip(pair, read[:2], read[2:], strict=True)]
            checker = judge((first, told, *after), raw=True)  # type: ignore[arg-type]
            outcome = checker.verdict().outcome
            truth = lawful(told, begin(first), after[0])
            both = checker.stats["explained"] == 2
            assert not (truth and outcome is Outcome.DIVERGE), (seed, read)
            if both and outcome is Outcome.AGREE and not truth:
                assert lawful(told, begin(first), after[0], ordered=False), (seed, read)
            seen[f"{'lawful' if truth else 'faulty'} {'explained' if both else 'left'}"] += 1
    assert seen["lawful explained"] > 100
    assert seen["faulty left"] > 100
    assert 10 * seen["lawful left"] < seen["lawful explained"]


@pytest.mark.parametrize("policy", [RFC, PLAIN], ids=["rfc", "plain"])
@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def test_lawful_histories(threads: int, policy: object) -> None:
    explained = 0
    for seed in range(25 * LONG):
        plain, _ = run(seed, threads, area=area(seed), policy=policy)  # type: ignore[arg-type]
        fed, _ = run(seed, threads, area=area(seed), policy=policy,  # type: ignore[arg-type]
                     raw=True)
        one, other = plain.verdict(), fed.verdict()
        assert (one.outcome, one.divergences) == (other.outcome, other.divergences), seed
        assert one.coverage[0].operations == other.coverage[0].operations
        assert one.coverage[0].decided == other.coverage[0].decided, seed
        explained += fed.stats["explained"]
    assert explained > 100 or threads > 2  # many threads: nearly always something is in flight


def test_areas_that_it_leaves_alone() -> None:
    """More pages to a bit: fed alike, judged without it."""
    for seed in range(20 * LONG):
        fed, _ = run(seed, 2, area=facts(64, 1 + seed % 2), raw=True)
        verdict = fed.verdict()
        assert verdict.outcome is Outcome.AGREE, (seed, verdict)
        assert verdict.coverage[0].decided > 30
        assert not fed.stats["explained"]


@pytest.mark.parametrize("raw", [True, False])
def test_deferral_is_not_explained_under_a_policy_without_it(raw: bool) -> None:
    """A kernel that defers, judged as one that must not: it has deferred from the start."""
    for batch, outcome in ((8, Outcome.DIVERGE), (0, Outcome.AGREE)):
        kernel = Kernel(facts(), Random(1), batch)
        watch = Watch(kernel, PLAIN, raw=raw)
        watch.read()
        for _ in range(3):
            for steps in (kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
                for _ in steps:
                    pass
                kernel.tick()
                watch.hand_over()
        watch.hand_over()
        watch.read()
        watch.hand_over()
        verdict = watch.checker.verdict()
        assert verdict.outcome is outcome, verdict
        assert set(verdict.by_rule) == ({"R1"} if batch else set())
        assert bool(watch.checker.stats["explained"]) == (raw and not batch)


def test_bursts() -> None:
    """Room is made for what comes at once, and given back; nothing that waits gets lost."""
    kernel = Kernel(facts(), Random(1), 8)
    watch = Watch(kernel, RFC, raw=True)
    watch.read()
    operations = 0
    for pairs in (8000, 3, 1, 8000, 1):
        for _ in range(pairs):
            for steps in (kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
                for _ in steps:
                    pass
                kernel.tick()
        operations += 2 * pairs
        watch.hand_over()
        watch.read()
    watch.hand_over()
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.AGREE, verdict
    assert verdict.coverage[0].decided == operations
    assert watch.checker.stats["explained"] == operations


def asks_and_releases(kernel: Kernel, tid: int, held: list[Run], random: Random) -> Steps:
    """Such operations only as the lane knows."""
    dice = random.random()
    if dice < 0.05:
        return kernel.count(tid)
    if held and dice < 0.5:
        return kernel.release(tid, *held.pop(random.randrange(len(held))))
    return kernel.alloc(tid, random.choice((1, 2, 4, 8)), random.choice((0, 0, 2)), held)


class Machine(Kernel):
    """As slow as a real one."""

    def tick(self) -> int:
        self.clock += self.random.randint(100, 900)
        return self.clock


def stretch(jobs: int, some: Job, random: Random, most: int = 3000,
            after: frozenset[str] = frozenset(), then: Job | None = None) -> Checker:
    """What 8 threads do on two processors, interrupted anywhere; and a reading behind it.

    Something is in flight at any time. From the middle on the kernel has the defects after, and
    the jobs are those of then.
    """
    kernel = Machine(facts(256), random, 2)
    kernel.chance = 0.0  # no want of memory
    watch = Watch(kernel, RFC, raw=True, limits=Limits(0, overlapping=most))
    watch.read()
    weights = [1] * 8
    crew = Crew(kernel, random, 8, weights)
    for each in (some, then or some):
        for step, _ in enumerate(crew.steps(jobs // 2, each, 4)):
            if step % 50 == 0:
                watch.hand_over()
            if step % 400 == 0:
                weights[:] = random.sample([1, 1, 0, 0, 0, 0, 0, 0], 8)
            if step % 3000 == 0:
                watch.read()
        kernel.defects = after
    weights[:] = [1] * 8
    for _ in crew.steps(0, some):
        pass
    for _ in range(2):
        watch.hand_over()
        watch.read()
    watch.hand_over()
    return watch.checker


def test_a_stretch_without_a_rest() -> None:
    """It is settled part by part, and so are the snapshots in it."""
    checker = stretch(10_000, asks_and_releases, Random(1))
    verdict = checker.verdict()
    assert verdict.outcome is Outcome.AGREE, verdict
    coverage = verdict.coverage[0]
    assert coverage.decided == coverage.operations == checker.stats["explained"] == 10_000
    assert coverage.torn > 20
    assert checker.stats["explained_overlapping"] > 9_900


@pytest.mark.parametrize("most", [3000, 32_768])
@pytest.mark.parametrize("defect", ["hit-recounted", "pick-not-lowest", "release-not-counted",
                                    "flush-forgets-one", "list-twice"])
def test_a_defect_in_a_stretch(defect: str, most: int) -> None:
    """Where parts before it are settled, it cannot be judged from a state: that is said."""
    checker = stretch(10_000, asks_and_releases, Random(2), most, frozenset({defect}))
    verdict = checker.verdict()
    if most > 10_000:
        assert verdict.outcome is Outcome.DIVERGE
        return
    undecided = verdict.coverage[0].undecided
    assert verdict.outcome is Outcome.DIVERGE or any("no order" in why for why in undecided)
    assert verdict.coverage[0].decided >= 1500


def test_what_the_lane_does_not_know_in_a_stretch() -> None:
    """Lawful all the same: once a part was settled it is not decided, and no more than that."""
    for seed in range(3):
        checker = stretch(8_000, asks_and_releases, Random(seed), 2000, then=job)
        verdict = checker.verdict()
        assert verdict.outcome is Outcome.AGREE, verdict
        coverage = verdict.coverage[0]
        left_out = sum(coverage.undecided.values())
        assert any("no order" in why for why in coverage.undecided), coverage
        assert 0 < left_out < 6_000
        assert coverage.decided + left_out == coverage.operations == 8_000


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
def test_a_snapshot_in_motion_that_differs(raw: bool) -> None:
    """A bit that nobody changed, or a count that never was: told though nothing was at rest."""
    for seed in range(6):
        random = Random(seed)
        kernel = Kernel(facts(256), random, 2)
        watch = Watch(kernel, RFC, raw=raw)
        watch.read()
        crew = Crew(kernel, random, 4)
        for step, _ in enumerate(crew.steps(400, asks_and_releases, 2)):
            if step % 20 == 0:
                watch.hand_over()
        state = replace(kernel.snapshot(), at_rest=False)
        assert state.defer_count is not None
        if seed % 2:
            state = replace(state, allocated=(*state.allocated, (kernel.facts.base_pfn + 250, 4)))
        else:
            state = replace(state, defer_count=state.defer_count + 200)
        watch.checker.observe(state)
        for _ in crew.steps(60, asks_and_releases):
            pass
        for _ in range(2):
            watch.hand_over()
            watch.read()
        verdict = watch.checker.verdict()
        assert verdict.outcome is Outcome.DIVERGE, (seed, verdict)


def test_losses_and_late_starts() -> None:
    """Never a divergence; and as many operations are decided, give or take those in flight."""
    for seed in range(60 * LONG):
        kinds = {"lose": 0.02, "late": bool(seed % 2)}
        fed, _ = run(seed, 1 + seed % 4, area=area(seed), raw=True, **kinds)  # type: ignore[arg-type]
        assert fed.verdict().outcome is not Outcome.DIVERGE, (seed, fed.verdict().divergences)


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects(defect: str) -> None:
    """Nothing that is caught without the lane gets by with it."""
    caught = 0
    for seed in range(12 * LONG if defect != "batch-0-keeps" else 60 * LONG):
        threads = (1, 1, 4)[seed % 3]
        plain, kernel = run(seed, threads, area=area(seed), defects=frozenset({defect}))
        fed, _ = run(seed, threads, area=area(seed), defects=frozenset({defect}), raw=True)
        if plain.verdict().outcome is Outcome.DIVERGE:
            assert fed.verdict().outcome is Outcome.DIVERGE, seed
            caught += 1
        if fed.verdict().outcome is Outcome.DIVERGE:
            assert defect in kernel.fired, seed
    assert caught
