# SPDX-License-Identifier: GPL-2.0
"""The checker where something was lost, or had begun before it looked."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from reference.kernel import Kernel
from reference.load import QUICK, Watch, facts
from reference.single import alone, settle, start

from cmaobs.crosscheck import Checker, Limits
from cmaobs.events import Kind
from cmaobs.model import RFC, Policy
from cmaobs.verdict import Outcome


def test_a_gap_is_unknown_until_the_next_rest() -> None:
    kernel, watch = start()
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.alloc(1, 4, 0)):
        watch.checker.push(each)
    watch.checker.gap("records lost", kernel.tick())
    assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    settle(watch)
    verdict = watch.checker.verdict()
    assert verdict.reasons == ("no operation was decided",)
    assert verdict.coverage[0].undecided == {"records lost": 2}
    for each in alone(kernel, kernel.alloc(1, 4, 0)):
        watch.checker.push(each)
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.AGREE


def test_a_divergence_is_a_suspicion_until_a_reading_without_loss() -> None:
    kernel, watch = start()
    kernel.defects = frozenset({"hit-not-counted"})
    got: list[tuple[int, int]] = []
    made = alone(kernel, kernel.alloc(1, 4, 0, got), kernel.release(1, 0x1000, 4),
                 kernel.alloc(1, 4, 0, got))
    for each in made:
        watch.checker.push(each)
    watch.checker.advance(kernel.watermark())
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert any("R5" in reason for reason in verdict.reasons)
    settle(watch)
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.DIVERGE
    first = verdict.divergences[0]
    assert (first.rule, first.area) == ("R5", "test")
    assert first.operations[-1].record.kind == Kind.ALLOC


def test_a_divergence_that_a_lost_record_explains_is_dropped() -> None:
    kernel, watch = start()
    made = alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4),
                 kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4))
    del made[1]
    for each in made:
        watch.checker.push(each)
    watch.checker.advance(kernel.watermark())
    assert watch.checker.stats["suspicions"]
    watch.checker.gap("records lost", kernel.tick())
    settle(watch)
    assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    assert not watch.checker.verdict().by_rule


def test_what_was_in_flight_at_attach_may_explain_early_divergences() -> None:
    kernel, _watch = start()
    late = Checker([kernel.facts], limits=Limits(settle_ns=10**9))
    late.observe(kernel.snapshot())
    kernel.extents.append((0x1030, 4))  # an operation that nobody saw
    kernel.defer_count += 4
    for each in alone(kernel, kernel.count(1)):
        late.push(each)
    for _ in range(3):
        late.advance(kernel.watermark())
        late.observe(kernel.snapshot())
    assert late.verdict().outcome is Outcome.UNKNOWN
    assert not late.verdict().divergences


def test_what_began_before_the_attachment_was_complete_is_not_judged() -> None:
    kernel, _watch = start()
    made = alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4), kernel.count(1))
    made[1:2] = []  # it was in flight when the probes were armed
    after = kernel.tick()
    for attached_ns, outcome in ((0, Outcome.DIVERGE), (after, Outcome.AGREE)):
        watch = Watch(kernel, RFC)
        watch.checker = Checker([kernel.facts], limits=QUICK, attached_ns=attached_ns)
        watch.checker.observe(replace(kernel.snapshot(), start_ns=1, end_ns=1, extents=(),
                                      defer_count=0))
        for each in made:
            watch.checker.push(each)
        settle(watch)
        for each in alone(kernel, kernel.count(1)):
            watch.checker.push(each)
        settle(watch)
        verdict = watch.checker.verdict()
        assert verdict.outcome is outcome, verdict
    assert dict(verdict.coverage[0].undecided) == {"in flight while the observer attached": 2}
    assert verdict.coverage[0].decided == 1


def test_counters_that_show_unseen_allocations_are_a_loss() -> None:
    kernel, watch = start()
    made = alone(kernel, kernel.alloc(1, 4, 0), kernel.alloc(1, 8, 0))
    watch.checker.push(made[0])
    watch.hand_over()
    watch.read()
    watch.hand_over()
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    assert not verdict.divergences
    assert "the kernel counted allocations that were not seen" in watch.checker.gaps


@pytest.mark.parametrize(("more", "counts", "lost"), [
    (1, True, False), (1, False, False), (0, False, True)])
def test_a_request_of_more_than_the_area_has_need_not_be_counted(
        more: int, counts: bool, lost: bool) -> None:
    """6.1 counts it among the failed, 6.12 does not; what would fit must be counted."""
    kernel, watch = start()
    pages = kernel.facts.count + more
    for each in alone(kernel, kernel.alloc(1, 4, 0), kernel.alloc(1, pages, 0)):
        watch.checker.push(each)
    assert kernel.failed == pages
    kernel.failed *= counts
    settle(watch)
    assert watch.checker.verdict().coverage[0].rests > 0
    assert ("the kernel counted allocations that were not seen" in watch.checker.gaps) == lost


def test_what_is_more_than_can_be_judged_while_nothing_is_known_is_left_out() -> None:
    """And from the next rest on all is judged again."""
    kernel = Kernel(facts(), Random(1), 8)
    watch = Watch(kernel, Policy(), raw=True)

    def pairs(count: int) -> None:
        for _ in range(count):
            for steps in (kernel.alloc(1, 4, 0), kernel.release(1, 0x1000, 4)):
                for _ in steps:
                    pass
                kernel.tick()
        watch.hand_over()

    pairs(3000)  # nothing was read yet
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.UNKNOWN
    why = "too many operations while the state was not known"
    assert verdict.coverage[0].undecided == {why: 6000}
    watch.read()
    pairs(3000)
    watch.read()
    watch.hand_over()
    verdict = watch.checker.verdict()
    assert verdict.outcome is Outcome.AGREE, verdict
    assert (verdict.coverage[0].decided, verdict.coverage[0].operations) == (6000, 12000)
    watch.checker.gap("records lost", kernel.tick())
    pairs(10)
    watch.read()
    watch.hand_over()
    assert watch.checker.verdict().outcome is Outcome.AGREE
    assert sum(watch.checker.verdict().coverage[0].undecided.values()) == 6020
