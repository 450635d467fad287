# SPDX-License-Identifier: GPL-2.0
"""The checker with one operation at a time: exact, and by the right rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reference.defects import hunt
from reference.load import QUICK, facts, run
from reference.mistakes import DEFECTS
from reference.single import alone, settle, start

from cmaobs.crosscheck import Checker
from cmaobs.events import RECORD, SILENT, Path
from cmaobs.model import PLAIN, Policy
from cmaobs.verdict import Outcome

# The rules that a history with the defect may contradict first, and the share
# of histories in which it leaves a trace at all.
RULES = {
    "hit-beyond-end": ("R5 R12", 1), "hit-recounted": ("R5 R10", 1),
    "head-dropped": ("R5 R6 R9 R10 R11", 1), "tail-dropped": ("R5 R6 R9 R10 R11", 1),
    "last-remainder-dropped": ("R5 R6 R9 R10 R11", 1), "empty-extent": ("R5", 0.9),
    "flush-clears-picked": ("R6 R4", 0.7), "flush-keeps-count": ("R6 R10", 1),
    "release-leaks": ("R2 R10", 1), "scan-frees-all": ("R9", 1), "scan-frees-none": ("R9", 0.9),
    "scan-double-free": ("R12", 1), "scan-count-wrong": ("R9 R10 R8 R2", 0.9),
    "scan-returns-0": ("R9", 1),
    "scan-too-much": ("R9", 1), "scan-too-little": ("R9", 0.9), "scan-below-batch": ("R9", 1),
    "scan-stops-late": ("R9", 1), "scan-oldest-first": ("R9", 0.4),
    "scan-splits-middle": ("R9", 0.8), "flush-forgets-one": ("R6", 1), "flush-skipped": ("R6", 1),
    "flush-stays-listed": ("R6 R10 R11 R12", 1), "miss-though-held": ("R5", 1),
    "hit-joins-two": ("R5", 1), "hit-not-counted": ("R5 R10", 1), "pick-not-lowest": ("R4", 1),
    "pick-misaligned": ("R4", 1), "busy-keeps-bits": ("R7", 0.8),
    "busy-gives-up": ("R7", 0.7),
    "error-goes-on": ("R7", 0.7), "error-keeps-bits": ("R7", 1),
    "release-keeps-bits": ("R2", 1),
    "direct-keeps-bits": ("R1", 1), "release-short-bits": ("R2", 0.6),
    "release-short-extent": ("R2 R10", 1), "release-not-counted": ("R2 R10", 1),
    "release-at-tail": ("R2 R9", 0.5), "release-batch-ignored": ("R1", 1),
    "release-also-frees": ("R2 R10", 1), "release-false": ("R1", 1), "count-returns-0": ("R8", 1),
    "count-wrong": ("R8", 1), "batch-0-keeps": ("R6", 1), "list-twice": ("R5 R10 R11 R12", 0.9),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_one_thread_is_exact(defect: str) -> None:
    rules, share = RULES[defect]
    found = hunt(defect, threads=1, histories=60)
    assert found.made, "the defect never took effect"
    assert found.caught >= share * found.made
    assert set(found.rules) <= set(rules.split())


def test_nothing_seen_is_unknown() -> None:
    verdict = Checker([facts()]).verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reasons == ("no operation was decided",)


def test_a_run_that_never_rests_is_unknown_and_says_so() -> None:
    kernel, watch = start()
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.count(1)):
        watch.checker.push(each)
    watch.checker.advance(kernel.watermark())
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reasons == ("area test: never at rest since its operations began",)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.AGREE
    (coverage,) = watch.checker.verdict().coverage
    assert (coverage.operations, coverage.decided, coverage.undecided) == (2, 2, {})
    assert coverage.rests == 3
    assert coverage.last_rest_ns


def test_one_defect_is_told_once() -> None:
    kernel, watch = start()
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
        watch.checker.push(each)
    kernel.extents.clear()  # leaked behind everyone's back
    kernel.defer_count = 0
    for _ in range(6):
        settle(watch)
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.DIVERGE
    assert dict(verdict.by_rule) == {"R11": 1}
    assert verdict.divergences[0].pages == ((0x1000, 4),)
    assert verdict.divergences[0].operations[-1].record.path == Path.DEFERRED


def test_bits_are_certain_where_the_state_of_their_pages_is_not() -> None:
    """A snapshot does not tell whether an unlisted page of a 4-page bit belongs to a caller."""
    kernel, watch = start(order=2)
    for each in alone(kernel, kernel.alloc(1, 4, 0)):
        watch.checker.push(each)
    kernel.bits[3] = True  # nobody's
    for _ in range(4):
        settle(watch)
    (divergence,) = watch.checker.verdict().divergences
    assert (divergence.rule, divergence.pages) == ("R11", ((0x100c, 4),))
    assert (divergence.expected, divergence.observed) == ("bits clear", "bits set at rest")


@pytest.mark.parametrize(("extents", "rule"), [
    ([(0x1000, 4), (0x1000, 4)], "R11"), ([(0x1000, 4), (0x1020, 0)], "R5"),
])
def test_a_list_that_is_wrong_by_itself(extents: list[tuple[int, int]], rule: str) -> None:
    kernel, watch = start()
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
        watch.checker.push(each)
    kernel.extents = extents
    for _ in range(4):
        settle(watch)
    assert dict(watch.checker.verdict().by_rule) == {rule: 1}


def test_an_unpatched_kernel_agrees_and_must_not_defer() -> None:
    kernel, watch = start(0, policy=PLAIN)
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
        watch.checker.push(each)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.AGREE
    checker, _ = run(3, 1, policy=PLAIN, defects=frozenset({"release-batch-ignored"}))
    assert set(checker.verdict().by_rule) == {"R1"}


@pytest.mark.parametrize(("defect", "policy"), [
    ("hit-joins-two", Policy(merge=True)),
    ("scan-oldest-first", Policy(oldest_first=True)),
    ("batch-0-keeps", Policy(flush_at_zero=False)),
])
def test_a_policy_allows_what_the_rules_do_not(defect: str, policy: Policy) -> None:
    fired = 0
    for seed in range(60):
        checker, kernel = run(seed, 1, defects=frozenset({defect}), policy=policy)
        fired += defect in kernel.fired
        verdict = checker.verdict()
        assert verdict.outcome is Outcome.AGREE, verdict.divergences
    assert fired


def test_batch_written_by_means_that_no_probe_sees() -> None:
    kernel, watch = start(0)
    made = alone(kernel, kernel.alloc(1, 4, 0))
    kernel.batch = 4
    made += alone(kernel, kernel.release(1, 0x1000, 4), kernel.scan(1, 2), kernel.scan(1, 4))
    for each in made:
        watch.checker.push(each)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.AGREE


def test_the_shrinkers_batch_is_compared_and_told_once() -> None:
    kernel, watch = start()
    for each in alone(kernel, kernel.set_batch(1, 8), kernel.alloc(1, 4, 0)):
        watch.checker.push(each)
    for _ in range(3):
        watch.checker.advance(kernel.watermark())
        watch.checker.observe(replace(kernel.snapshot(), shrinker_batch=1))
    verdict = watch.checker.verdict()
    assert dict(verdict.by_rule) == {"R9": 1}
    assert str(verdict.divergences[0]) == (
        "R9: area test: expected shrinker.batch 8, as batch, observed 1")


def test_a_deferred_release_whose_trace_event_is_missing() -> None:
    """D13: the probes look for the event and mark the record."""
    kernel, watch = start(8)
    alloc, release = alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4))
    silent = release._replace(record=release.record._replace(flags=SILENT))
    assert watch.checker.feed(b"".join(RECORD.pack(*one) for one in (*alloc.calls, alloc.record)))
    assert not watch.checker.feed(RECORD.pack(*silent.record)), "the lane leaves it to the rules"
    watch.checker.push(silent)
    settle(watch)
    assert [str(each) for each in watch.checker.verdict().divergences] == [
        "R2: area test: expected a cma_release trace event, observed none"]


def test_areas_are_judged_apart() -> None:
    kernel, _watch = start()
    second = kernel.facts.__class__(1, "other", 0x9000, 32, 0)
    checker = Checker([kernel.facts, second], limits=QUICK)
    checker.observe(kernel.snapshot())
    for each in alone(kernel, kernel.alloc(1, 4, 0)):
        checker.push(each)
    checker.advance(kernel.watermark())
    checker.observe(kernel.snapshot())
    checker.advance(kernel.watermark())
    verdict = checker.verdict()
    assert verdict.outcome is Outcome.AGREE
    assert [c.operations for c in verdict.coverage] == [1, 0]
