# SPDX-License-Identifier: GPL-2.0
"""A divergence that an operation only came upon is told by its root, once a snapshot shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reference.kernel import Kernel
from reference.load import Watch
from reference.single import alone, settle, start

from cmaobs.crosscheck import doubt
from cmaobs.events import Kind, Operation
from cmaobs.verdict import Outcome

RUN = (0x1000, 4)


def spoiled(defect: str, batch: int = 1) -> tuple[Kernel, Watch]:
    """A kernel that always makes this mistake."""
    kernel, watch = start(batch)
    kernel.defects = frozenset({defect})
    return kernel, watch


def push(watch: Watch, made: list[Operation]) -> None:
    for each in made:
        watch.checker.push(each)
    watch.checker.advance(watch.kernel.watermark())


def passed_by(defect: str, batch: int) -> tuple[Kernel, Watch]:
    """A release leaves its bits set, and the next allocation passes them by."""
    kernel, watch = spoiled(defect, batch)
    push(watch, alone(kernel, kernel.alloc(1, 4, 0), kernel.release(1, *RUN),
                      kernel.alloc(1, 4, 0)))
    return kernel, watch


@pytest.mark.parametrize(("defect", "batch", "rule"), [
    ("release-keeps-bits", 1, "R2"), ("direct-keeps-bits", 0, "R1")])
@pytest.mark.parametrize("at_rest", [True, False], ids=["at rest", "in motion"])
def test_bits_that_a_release_left_set(defect: str, batch: int, rule: str, at_rest: bool) -> None:
    kernel, watch = passed_by(defect, batch)
    for _ in range(3):
        watch.checker.observe(replace(kernel.snapshot(), at_rest=at_rest))
        watch.checker.advance(kernel.watermark())
    verdict = watch.checker.verdict()
    (found,) = verdict.divergences
    assert (found.rule, found.pages) == (rule, (RUN,))
    assert found.expected == "bits clear"
    assert found.observed == "bits set in a snapshot; pfn 0x1004 picked"
    assert [Kind(op.record.kind) for op in found.operations] == [Kind.RELEASE, Kind.ALLOC]
    assert verdict.by_rule[rule] == 1
    assert "R4" not in verdict.by_rule


def test_a_search_that_was_wrong_itself() -> None:
    kernel, watch = start()
    made = alone(kernel, kernel.alloc(1, 4, 0), kernel.alloc(1, 4, 0), kernel.release(1, *RUN))
    kernel.defects = frozenset({"pick-not-lowest"})
    push(watch, made + alone(kernel, kernel.alloc(1, 2, 0)))
    settle(watch)
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R4"]


def left_out(what: str) -> tuple[Kernel, Watch]:
    """Two extents are listed, and a flush leaves out some of the pages."""
    kernel, watch = start()
    made = alone(kernel, kernel.alloc(1, 2, 0), kernel.alloc(1, 16, 0), kernel.alloc(1, 8, 0),
                 kernel.release(1, 0x1002, 16), kernel.release(1, 0x1012, 8))
    kernel.defects = frozenset({what} if "-" in what else ())
    if what == "a release":
        kernel.extents[kernel.extents.index((0x1002, 16))] = (0x1002, 15)
    elif what != "flush-forgets-one":
        made += alone(kernel, kernel.alloc(1, 4, 2))
    push(watch, made + alone(kernel, kernel.alloc(1, 32, 0)))
    return kernel, watch


@pytest.mark.parametrize(("what", "rule", "pages", "kinds"), [
    ("head-dropped", "R5", (0x1002, 2), [Kind.RELEASE, Kind.ALLOC, Kind.ALLOC]),
    ("tail-dropped", "R5", (0x1008, 10), [Kind.RELEASE, Kind.ALLOC, Kind.ALLOC]),
    ("a release", "R2", (0x1011, 1), [Kind.RELEASE, Kind.ALLOC]),
    ("flush-forgets-one", "R6", (0x1002, 16), [Kind.ALLOC, Kind.RELEASE, Kind.ALLOC]),
])
def test_what_a_flush_left_out(what: str, rule: str, pages: tuple[int, int],
                               kinds: list[Kind]) -> None:
    """Somebody had dropped it before, unless it is still listed."""
    _, watch = left_out(what)
    assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    settle(watch)
    (found,) = watch.checker.verdict().divergences
    assert (found.rule, found.pages) == (rule, (pages,)), str(found)
    assert [Kind(op.record.kind) for op in found.operations] == kinds


def test_a_miss_since_the_extent_was_listed_short() -> None:
    kernel, watch = start()
    made = alone(kernel, kernel.alloc(1, 16, 0), kernel.release(1, 0x1000, 16))
    kernel.extents[:] = [(0x1000, 15)]
    push(watch, made + alone(kernel, kernel.alloc(1, 16, 0)))
    settle(watch)
    (found,) = watch.checker.verdict().divergences
    assert (found.rule, found.pages) == ("R2", ((0x100f, 1),)), str(found)


def test_it_is_not_crowded_out_by_what_follows() -> None:
    """Releases of three pages are listed a page short; allocations between them flush each."""
    kernel, watch = start(0, 128)
    firsts = range(0x1000, 0x1050, 4)
    made = alone(kernel, *(kernel.alloc(1, pages, 0) for _ in firsts for pages in (1, 3)),
                 *(kernel.release(1, first, 1) for first in firsts), kernel.set_batch(1, 1))
    for first in firsts:
        made += alone(kernel, kernel.release(1, first + 1, 3))
        kernel.extents[:] = [(first + 1, 2)]
        made += alone(kernel, kernel.alloc(1, 1, 2))
    push(watch, made)
    assert watch.checker.stats["suspicions"] >= len(firsts)
    settle(watch)
    found, *_ = watch.checker.verdict().divergences
    assert (found.rule, found.pages) == ("R2", ((0x1003, 1),)), str(found)


def test_nobody_waits_for_ever() -> None:
    kernel, watch = left_out("head-dropped")
    for _ in range(2):
        watch.checker.observe(replace(kernel.snapshot(), at_rest=False))
        assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    kernel.clock += doubt.HOLD_NS
    watch.checker.advance(kernel.watermark())
    watch.checker.observe(replace(kernel.snapshot(), at_rest=False))
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R6"]
    settle(watch)
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R6"], "it was told"


def test_a_later_loss_explains_nothing_of_before() -> None:
    """What only waits for its root is certain."""
    kernel, watch = left_out("head-dropped")
    watch.checker.observe(replace(kernel.snapshot(), at_rest=False))
    assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    watch.checker.gap("records lost", kernel.tick())
    settle(watch)
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R6"]


def test_the_end_waits_for_nothing() -> None:
    kernel, watch = left_out("head-dropped")
    watch.checker.observe(replace(kernel.snapshot(), at_rest=False))
    assert watch.checker.verdict().outcome is Outcome.UNKNOWN
    watch.checker.end()
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R6"]


def test_what_moved_since_is_no_evidence() -> None:
    """Somebody may have taken from the list what the flush had forgotten."""
    kernel, watch = left_out("flush-forgets-one")
    push(watch, alone(kernel, kernel.alloc(1, 16, 1)))
    settle(watch)
    assert [one.rule for one in watch.checker.verdict().divergences] == ["R6"]
