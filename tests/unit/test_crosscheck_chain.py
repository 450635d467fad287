# SPDX-License-Identifier: GPL-2.0
"""Putting steps on one page in order."""

from __future__ import annotations

import itertools
from random import Random
from typing import cast

from cmaobs.crosscheck.chain import arrange
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, Step
from cmaobs.crosscheck.plan import Flight

NOBODY = cast(Flight, None)


def step(lo: int, hi: int, frm: int, to: int) -> Step:
    return Step(NOBODY, lo, hi, 1, frm, to)


def possible(steps: tuple[Step, ...], state: int) -> bool:
    """By trying every order."""
    for order in itertools.permutations(steps):
        now, latest, fits = state, 0, True
        for each in order:
            latest = max(latest, each.lo)
            fits = fits and each.frm == now and latest <= each.hi
            now = each.to
        if fits:
            return True
    return False


def test_against_every_order() -> None:
    random = Random(3)
    found = 0
    kinds = ((ALLOCATED, DEFERRED), (DEFERRED, ALLOCATED), (DEFERRED, FREE), (FREE, ALLOCATED),
             (ALLOCATED, FREE))
    for _ in range(4000):
        steps = []
        for _ in range(random.randint(1, 5)):
            lo = random.randrange(12)
            steps.append(step(lo, lo + random.randrange(8), *random.choice(kinds)))
        state = random.choice((ALLOCATED, DEFERRED, FREE))
        order = arrange(steps, state, 10_000)
        assert order.lawful == possible(tuple(steps), state)
        assert order.lawful == (order.stuck is None)
        found += order.lawful
    assert found > 200


def test_a_long_chain_under_one_slow_release_is_quick() -> None:
    steps = [step(0, 100_000, ALLOCATED, DEFERRED)]
    for i in range(1000):
        steps += [step(10 + i * 20, 15 + i * 20, DEFERRED, ALLOCATED),
                  step(18 + i * 20, 25 + i * 20, ALLOCATED, DEFERRED)]
    order = arrange(steps, ALLOCATED, 16_384)
    assert order.lawful
    assert order.state == DEFERRED


def test_a_spent_budget_says_so() -> None:
    steps = [step(0, 100, *kind) for kind in ((ALLOCATED, DEFERRED), (DEFERRED, ALLOCATED)) * 8]
    order = arrange(steps, FREE, 2)
    assert not order.lawful
    assert not order.spent
    assert arrange(steps, ALLOCATED, 2).spent
