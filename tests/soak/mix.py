# SPDX-License-Identifier: GPL-2.0
"""What a loading task does, round by round. The same seed gives the same rounds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

TASKS = ("reserved",) * 4 + ("camera",) * 3 + ("codec",)  # the area of each
ALONE = ("reserved",) * len(TASKS)  # without the patches no other can be declared
SLOW = {"codec": 10.0}  # rests so much longer: the compiled lane does not take this area


class Round(NamedTuple):
    """pages: of each allocation. All are made, then all released; so many repeats.

    through: debugfs or heap. rest_ms: the pause after the round.
    """

    through: str
    pages: tuple[int, ...]
    repeats: int
    rest_ms: float

    @property
    def operations(self) -> int:
        """Allocations and releases."""
        return 2 * len(self.pages) * self.repeats


class Kind(NamedTuple):
    """How rounds of a kind are drawn: uniformly within each range; weight among the others."""

    weight: int
    through: str
    sizes: tuple[int, int]
    blocks: tuple[int, int]
    repeats: tuple[int, int]
    rest_ms: tuple[float, float]

    def draw(self, rng: random.Random, step: int) -> Round:
        """step: what a size must be a multiple of, in pages."""
        blocks = rng.randint(*self.blocks)
        pages = tuple(-(-_size(rng, *self.sizes) // step) * step for _ in range(blocks))
        return Round(self.through, pages, rng.randint(*self.repeats), rng.uniform(*self.rest_ms))

    def __str__(self) -> str:
        low, high = self.sizes
        return (f"{self.through}: {self.blocks[0]} to {self.blocks[1]} blocks of {low} to {high} "
                f"pages, {self.repeats[0]} to {self.repeats[1]} times, then "
                f"{self.rest_ms[0]:g} to {self.rest_ms[1]:g} ms of rest")


KINDS = (
    Kind(6, "debugfs", (1, 64), (1, 1), (20, 200), (0, 10)),    # a buffer over and over
    Kind(3, "debugfs", (1, 128), (2, 12), (1, 4), (0, 10)),     # several held at a time
    Kind(1, "debugfs", (128, 512), (1, 2), (1, 3), (0, 20)),    # large ones: misses, migration
    Kind(2, "heap", (1, 32), (1, 4), (1, 8), (0, 10)),          # dma-buf, where there is a heap
)


def rounds(seed: int, slot: int, generation: int, heap: bool, step: int) -> Iterator[Round]:
    """Without end. generation: how often the task of this slot was replaced."""
    rng = random.Random(f"{seed}/{slot}/{generation}")
    kinds = [kind for kind in KINDS if heap or kind.through != "heap"]
    weights = [kind.weight for kind in kinds]
    while True:
        yield rng.choices(kinds, weights)[0].draw(rng, step)


def _size(rng: random.Random, low: int, high: int) -> int:
    """Small ones more often than large ones, as real allocators see them."""
    return min(high, int(low * (high / low + 1) ** rng.random()))


def describe() -> list[str]:
    """A line for each kind of round."""
    total = sum(kind.weight for kind in KINDS)
    return [*(f"{kind.weight} of {total} rounds {kind}" for kind in KINDS),
            *(f"rests on {area} are {factor:g} times as long" for area, factor in SLOW.items())]
