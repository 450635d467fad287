# SPDX-License-Identifier: GPL-2.0
"""What the load maker means to do: sizes, lifetimes, and requests from a seed."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from cmaobs.errors import UsageError
from cmaobs.load.plan import Lifetimes, Request, Sizes, requests, split


@pytest.mark.parametrize(
    ("text", "values"),
    [("16", {16}), ("3-5", {3, 4, 5}), ("4,16:3", {4, 16}), ("log:1-3", {1, 2, 3})],
)
def test_sizes_are_drawn_from_what_was_written(text: str, values: set[int]) -> None:
    sizes = Sizes.parse(text)
    rng = random.Random(1)
    assert {sizes.draw(rng) for _ in range(500)} == values
    assert sizes.largest == max(values)


def test_a_weight_is_a_weight() -> None:
    rng, sizes = random.Random(1), Sizes.parse("4,16:3")
    assert 0.7 < sum(sizes.draw(rng) == 16 for _ in range(2000)) / 2000 < 0.8


@pytest.mark.parametrize("text", ["", "0", "5-3", "x", "4:0", "4:", "log:", "1-", "-5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="choice of sizes"):
        Sizes.parse(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "5-3", "nan", "inf", "ops:", "ops:1.5", "ops:2-1",
                                  "ops:-1"])
def test_lifetimes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="lifetime"):
        Lifetimes.parse(text)


def test_the_same_seed_gives_a_thread_the_same_requests() -> None:
    def first(seed: int, thread: int) -> list[Request]:
        plan = requests(seed, thread, Sizes.parse("log:1-1024"), Lifetimes.parse("0-50"))
        return list(islice(plan, 200))

    assert first(1, 0) == first(1, 0)
    assert first(1, 0) != first(1, 1)
    assert first(1, 0) != first(2, 0)


def test_operations_are_split_exactly() -> None:
    assert [sum(split(997, n)) for n in (1, 2, 3, 8, 996, 997, 998)] == [997] * 7
    assert split(7, 3) == [3, 2, 2]
