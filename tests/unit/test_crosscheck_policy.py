# SPDX-License-Identifier: GPL-2.0
"""Areas whose policy the kernel lets be written: judged by their own, or not judged."""

from __future__ import annotations

import dataclasses

import pytest
from reference.defects import hunt
from reference.kernel import Kernel
from reference.load import QUICK, Watch
from reference.mistakes import OF_DEFERRED_FIRST
from reference.single import alone, settle, start

from cmaobs import policies
from cmaobs.crosscheck import Checker
from cmaobs.model import PLAIN, RFC, Policy
from cmaobs.verdict import Outcome

RULES = {"prefers-none": {"R4"}, "prefers-highest": {"R4", "R6"}, "flush-takes-all": {"R6"},
         "flush-forgets-overlap": {"R6"}}


@pytest.mark.parametrize("defect", OF_DEFERRED_FIRST)
def test_one_thread_is_nearly_exact(defect: str) -> None:
    found = hunt(defect, threads=1, histories=60)
    assert found.made > 30
    assert found.caught >= 0.9 * found.made
    assert set(found.rules) <= RULES[defect]


def written(probed: bool | None = True) -> tuple[Kernel, Watch]:
    """A kernel whose policy can be written, batch on, and a checker that has seen it at rest."""
    kernel, watch = start()
    kernel.ways = frozenset({"policy-written"})
    watch.checker = Checker([kernel.facts], RFC, QUICK, policy_probed=probed)
    settle(watch)
    return kernel, watch


def straddle(kernel: Kernel, watch: Watch) -> None:
    """Two extents that lie together and one behind them; then an allocation of as many pages."""
    base = kernel.facts.base_pfn
    sizes = ((base, 2), (base + 2, 2), (base + 4, 8))
    for each in alone(kernel, *(kernel.alloc(1, pages, 0) for _, pages in sizes),
                      *(kernel.release(1, pfn, pages) for pfn, pages in sizes),
                      kernel.alloc(1, 4, 0)):
        watch.checker.push(each)


@pytest.mark.parametrize("policy", [0, 1])
def test_each_is_judged_by_what_its_snapshot_has(policy: int) -> None:
    kernel, watch = written()
    for each in alone(kernel, kernel.set_policy(1, policy)):
        watch.checker.push(each)
    settle(watch)
    assert watch.checker.gaps == {"its policy was written": 1}
    straddle(kernel, watch)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.AGREE
    assert kernel.defer_count == (8 if policy else 0)


def test_another_policy_than_that_of_the_snapshot_diverges() -> None:
    kernel, watch = written()
    kernel.policy = 1  # behind everyone's back
    straddle(kernel, watch)
    settle(watch)
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.DIVERGE
    assert set(verdict.by_rule) <= {"R4", "R6"}


@pytest.mark.parametrize(("policy", "probed", "reason"), [
    (7, True, "its policy is number 7, which is not known here"),
    (1, False, "its policy can be written, which has no probe")])
def test_what_cannot_be_judged_is_unknown(policy: int, probed: bool, reason: str) -> None:
    kernel, watch = written(probed)
    kernel.policy = policy
    settle(watch)
    straddle(kernel, watch)
    settle(watch)
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reasons == (f"area test: {reason}",)


def test_a_kernel_without_policies_is_judged_by_the_one_given() -> None:
    kernel, watch = written(None)
    kernel.policy = 1
    straddle(kernel, watch)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.DIVERGE


def test_the_kernels_numbers() -> None:
    merging = Policy(merge=True)
    assert policies.of_area(merging, None) == policies.of_area(merging, 0) == merging
    assert policies.of_area(merging, 1) == dataclasses.replace(
        merging, prefer_deferred=True, flush_overlap=True)
    assert policies.of_area(PLAIN, 2) is None
    assert [policies.name_of(number) for number in range(3)] == ["first-fit", "deferred-first", "2"]
