# SPDX-License-Identifier: GPL-2.0
"""When readings come sooner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmaobs.kernel.again import Again
from cmaobs.state import AreaFacts, AreaState, Losses, Reading

STATE = AreaState(AreaFacts(0, "camera", 4096, 16, 0), 0, 0, (), (), 0, 64, 0, 0, 0, at_rest=True)
BUSY = replace(STATE, at_rest=False)
OTHER = replace(STATE, facts=AreaFacts(1, "codec", 8192, 16, 0))


def reading(at_s: float, lost: int, *states: AreaState) -> Reading:
    return Reading(int(at_s * 1e9), at_s, (), states, Losses({"ring_full": lost}))


def test_as_long_as_nothing_is_lost_they_come_as_always() -> None:
    again = Again()
    assert not any(again.wanted(reading(at, 0, BUSY)) for at in range(5))


def test_behind_a_loss_until_each_area_was_at_rest() -> None:
    again = Again()
    assert not again.wanted(reading(1, 0, BUSY, OTHER))
    assert again.wanted(reading(2, 3, STATE, OTHER))  # it may have been behind the snapshots
    assert again.wanted(reading(2.1, 3, BUSY, OTHER))
    assert again.wanted(reading(2.2, 3, BUSY, OTHER))
    assert not again.wanted(reading(2.3, 3, STATE, OTHER))
    assert not again.wanted(reading(3.3, 3, BUSY, OTHER))


def test_a_torn_snapshot_tells_nothing() -> None:
    again = Again()
    assert again.wanted(reading(2, 3, STATE))
    assert again.wanted(reading(2.1, 3, replace(STATE, fault="a link was wrong")))
    assert not again.wanted(reading(2.2, 3, STATE))


@pytest.mark.parametrize("loses", [True, False])
def test_not_for_ever(loses: bool) -> None:
    again = Again()
    wanted = [again.wanted(reading(at / 10, 1 + at * loses, BUSY)) for at in range(95)]
    assert wanted == [True] * 20 + [False] * 75


def test_a_loss_long_after_the_last() -> None:
    again = Again()
    assert again.wanted(reading(1, 1, STATE))
    assert not again.wanted(reading(1.1, 1, STATE))
    assert not again.wanted(reading(2, 2, STATE))
    assert again.wanted(reading(30, 3, STATE))
