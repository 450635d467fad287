# SPDX-License-Identifier: GPL-2.0
"""What each thread will ask for. Pure: the same seed gives the same requests."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cmaobs.errors import UsageError

_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?(?::([0-9]{1,9}))?")


class Request(NamedTuple):
    """One allocation: pages, and for how long it is to be held, as its Lifetimes say."""

    pages: int
    lifetime: float


@dataclass(frozen=True)
class Sizes:
    """Pages for an allocation: a weighted choice of ranges, each drawn from evenly.

    Written as 16 or 1-64 or 4,16:3,256 (16 three times as often) or log:1-1024 (each power of
    two as likely as another, which is what real allocators see).
    """

    ranges: tuple[tuple[int, int], ...]
    weights: tuple[int, ...]
    logarithmic: bool = False

    @classmethod
    def parse(cls, text: str) -> Sizes:
        body = text.removeprefix("log:")
        parts = [_PART.fullmatch(part) for part in body.split(",")]
        ranges = [(int(p[1]), int(p[2] or p[1])) for p in parts if p]
        weights = [int(p[3] or 1) for p in parts if p]
        if not all(parts) or any(not 0 < a <= b for a, b in ranges) or min(weights) < 1:
            raise UsageError(f"{text!r} is not a choice of sizes in pages",
                             "write 16, 1-64, 4,16:3,256 or log:1-1024")
        return cls(tuple(ranges), tuple(weights), body != text)

    @property
    def largest(self) -> int:
        return max(high for _, high in self.ranges)

    def draw(self, rng: random.Random) -> int:
        low, high = rng.choices(self.ranges, self.weights)[0]
        if self.logarithmic:
            return min(high, int(math.exp(rng.uniform(math.log(low), math.log(high + 1)))))
        return rng.randint(low, high)


@dataclass(frozen=True)
class Lifetimes:
    """How long to hold an allocation: in seconds, or in further allocations of its thread.

    Written in ms as 0, 20 or 5-50, or as ops:3 or ops:0-3. By seconds a fast kernel makes other
    requests overlap than a slow one; by allocations what is held when does not depend on speed.
    """

    low: float
    high: float
    counted: bool = False

    @classmethod
    def parse(cls, text: str) -> Lifetimes:
        body = text.removeprefix("ops:")
        low, _, high = body.partition("-")
        try:
            made = (cls(int(low), int(high or low), True) if body != text
                    else cls(float(low) / 1000, float(high or low) / 1000))
        except ValueError:
            made = cls(-1, -1)
        if not 0 <= made.low <= made.high < math.inf:
            raise UsageError(f"{text!r} is not a lifetime in ms or allocations",
                             "write 0, 20 or 5-50, or ops:0-3")
        return made

    def draw(self, rng: random.Random) -> float:
        return rng.randint(int(self.low), int(self.high)) if self.counted \
            else rng.uniform(self.low, self.high)


def requests(seed: int, thread: int, sizes: Sizes, lifetimes: Lifetimes) -> Iterator[Request]:
    """Without end. Does not depend on the number of threads or on time."""
    rng = random.Random(f"{seed}/{thread}")
    while True:
        yield Request(sizes.draw(rng), lifetimes.draw(rng))


def split(operations: int, threads: int) -> list[int]:
    """Operations of each thread; they differ by one at most."""
    return [operations // threads + (n < operations % threads) for n in range(threads)]
