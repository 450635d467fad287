# SPDX-License-Identifier: GPL-2.0
"""Random histories of the small kernel against the checker.

CMAOBS_LONG=N makes N times as many. What a failure prints is a seed:
reference.load.run(seed, ...) makes that history again.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from random import Random

import pytest
from reference.defects import hunt
from reference.kernel import Kernel
from reference.load import Crew, Watch, facts, job, run
from reference.small import compare
from reference.ways import WAYS

from cmaobs.crosscheck import Checker
from cmaobs.crosscheck.plan import Flight
from cmaobs.model import PLAIN, RFC, Policy
from cmaobs.verdict import Outcome

LONG = int(os.environ.get("CMAOBS_LONG", "1"))


def share_undecided(checker: Checker) -> float:
    """Of the operations seen."""
    (coverage,) = checker.verdict().coverage
    return sum(coverage.undecided.values()) / max(coverage.operations, 1)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("chance", [0.0, 0.05, 0.3])
def test_lawful_histories_agree(threads: int, chance: float) -> None:
    for seed in range(150 * LONG):
        checker, _ = run(seed, threads, chance=chance)
        verdict = checker.verdict()
        assert verdict.outcome is Outcome.AGREE, (seed, verdict)
        assert share_undecided(checker) == 0, seed


@pytest.mark.parametrize("policy", [PLAIN, Policy(flush_at_zero=False), Policy(merge=True)])
def test_lawful_histories_agree_under_other_policies(policy: Policy) -> None:
    for seed in range(100 * LONG):
        checker, _ = run(seed, 4, policy=policy)
        assert checker.verdict().outcome is Outcome.AGREE, (seed, checker.verdict())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("raw", [False, True])
def test_other_correct_kernels_agree(way: str, raw: bool) -> None:
    for seed in range(40 * LONG):
        checker, _ = run(seed, (1, 2, 4)[seed % 3], policy=WAYS[way].policy,
                         ways=frozenset({way}), raw=raw)
        verdict = checker.verdict()
        assert verdict.outcome is Outcome.AGREE, (seed, verdict)


@pytest.mark.parametrize("way", [way for way in WAYS if WAYS[way].policy != RFC])
def test_other_kernels_diverge_under_the_rfcs_policy(way: str) -> None:
    outcomes = Counter(run(seed, 1, ways=frozenset({way}))[0].verdict().outcome
                       for seed in range(40))
    assert outcomes[Outcome.DIVERGE]


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("lose", [0.0, 0.02])
def test_a_policy_that_is_written_at_any_time_is_no_divergence(threads: int, raw: bool,
                                                               lose: float) -> None:
    outcomes: Counter[str] = Counter()
    written = 0
    for seed in range(40 * LONG):
        checker, _ = run(seed, threads, 160, ways=frozenset({"policy-written"}), raw=raw, rests=4,
                         lose=lose)
        verdict = checker.verdict()
        assert verdict.outcome is not Outcome.DIVERGE, (seed, verdict.divergences)
        outcomes[verdict.outcome.name] += 1
        written += checker.gaps.get("its policy was written", 0)
    assert written > 40
    assert outcomes["AGREE"] > outcomes["UNKNOWN"]


def test_mistakes_are_caught_behind_a_write_of_the_policy() -> None:
    caught = 0
    for seed in range(60):
        checker, kernel = run(seed, 2, 160, ways=frozenset({"policy-written"}), rests=4,
                              defects=frozenset({"flush-takes-all"}))
        diverged = checker.verdict().outcome is Outcome.DIVERGE
        assert kernel.fired or not diverged, seed
        caught += diverged
    assert caught > 20


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("late", [False, True])
def test_losses_are_never_divergences(threads: int, late: bool) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(80 * LONG):
        checker, _ = run(seed, threads, 120, lose=0.02, late=late, rests=3)
        verdict = checker.verdict()
        assert verdict.outcome is not Outcome.DIVERGE, (seed, verdict.divergences)
        outcomes[verdict.outcome.name] += 1
    assert outcomes["AGREE"] > outcomes["UNKNOWN"]


def test_small_worlds_against_every_order() -> None:
    found: Counter[str] = Counter()
    found_before = (225406,)  # a part of a release was hit before the release was placed whole
    for seed in (*range(3000 * LONG), *found_before):
        result = compare(seed)
        assert result != "lawful diverge", f"unsound: reference.small seed {seed}"
        found[result] += 1
    print(dict(found))
    assert found["faulty diverge"] > 4 * found["faulty agree"]
    assert found["lawful agree"] > 10 * found["lawful unknown"]


@pytest.mark.parametrize(("defect", "share"), [
    ("hit-beyond-end", 0.9), ("tail-dropped", 0.9), ("flush-forgets-one", 0.5),
    ("flush-skipped", 0.9), ("scan-double-free", 0.9), ("scan-returns-0", 0.9),
    ("flush-keeps-count", 0.9), ("hit-recounted", 0.6), ("pick-not-lowest", 0.9),
    ("release-keeps-bits", 0.9), ("flush-clears-picked", 0.7), ("list-twice", 0.9),
    ("miss-though-held", 0.4), ("hit-joins-two", 0.3), ("prefers-none", 0.7),
    ("prefers-highest", 0.9), ("flush-takes-all", 0.9), ("flush-forgets-overlap", 0.9),
])
def test_defects_are_caught_among_threads(defect: str, share: float) -> None:
    found = hunt(defect, threads=4, histories=60 * LONG)
    assert found.made
    assert found.caught >= share * found.made


@pytest.mark.parametrize("policy", [RFC, PLAIN], ids=["rfc", "plain"])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
def test_what_is_over_is_forgotten(raw: bool, policy: Policy) -> None:
    """Something is always in flight, so that all operations hang together by overlapping."""
    random = Random(7)
    kernel = Kernel(facts(), random, 2 if policy.deferral else 0)
    kernel.batch_writable = policy.deferral
    watch = Watch(kernel, policy, raw=raw)
    watch.read()
    area = watch.checker._areas[0]
    crew = Crew(kernel, random, 8)
    for step, _ in enumerate(crew.steps(10_000, job, 4)):
        if step % 50 == 0:
            watch.hand_over()
        if step % 200 == 0:
            watch.read()
        if step % 10_000 == 9_999:
            gc.collect()
            assert sum(isinstance(one, Flight) for one in gc.get_objects()) < 200, step
            assert len(area._agenda._events) < 500
            assert len(area.pages._kept) < 200
    assert step > 50_000
    for _ in crew.steps(0, job):
        pass
    watch.hand_over()
    watch.read()
    watch.hand_over()
    watch.read()
    watch.hand_over()
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.AGREE, verdict
    assert area.ended == 10_000
    assert not area.pages._kept
    assert len(area.pages.extents) <= kernel.facts.count


def test_the_rules_that_a_policy_does_not_touch_still_hold() -> None:
    for policy in (RFC, Policy(merge=True), Policy(oldest_first=True)):
        checker, _ = run(5, 1, defects=frozenset({"pick-not-lowest"}), policy=policy)
        assert "R4" in checker.verdict().by_rule
