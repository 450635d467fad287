# SPDX-License-Identifier: GPL-2.0
"""What is run, in which order. Pure: the same scale gives the same runs.

Runs come in blocks of one condition and one repetition. In a block every setting is run once, in
an order drawn from the seed, so that what drifts with time (caches, other work on the machine)
does not favour one batch. Settings that differ in batch only have the same seed: their requests are
the same, and they are compared as a pair.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from cmaobs.load.plan import Sizes
from cmaobs.study.manifest import LeftOut

SHARE = 80.0  # percent of the area that the load may hold
LIFETIME = "ops:0-3"
HELD = 4  # allocations of a thread at a time, at most
FEW = "64:4,256:2,1024"  # a few sizes that come again, as buffers of a camera do
MIXED = "log:1-4096"  # any size: the hard case for deferral, since what fits no extent flushes all
_ON = 64
_MIXED_OPERATIONS = 240


class Setting(NamedTuple):
    """One run but for its repetition. batch: pages. operations: over all threads."""

    question: str
    condition: str
    sizes: str
    threads: int
    batch: int
    operations: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run. Sizes in pages; mixes: of the questions of threads and of batch."""

    name: str
    repetitions: int
    sizes: tuple[int, ...]
    conditions: tuple[str, ...]
    mixes: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]


FULL = Scale("full", 6, (1, 16, 256, 1024, 4096), ("idle", "pressure", "fragmented"),
             (FEW, MIXED), (1, 2, 4, 8), (0, 1, 64, 1024))
QUICK = Scale("quick", 2, (1, 256, 4096), ("idle", "pressure"), (FEW, MIXED), (8,), (0, 64))
LEAST = Scale("least", 2, (16,), ("idle",), (), (), ())
SCALES = {scale.name: scale for scale in (FULL, QUICK, LEAST)}


class Planned(NamedTuple):
    """A setting's run. seed: of its requests."""

    setting: Setting
    repetition: int
    seed: int


def settings(scale: Scale) -> list[Setting]:
    """Each once."""
    found = [Setting("size", condition, str(pages), 1, batch, _operations(pages))
             for condition in scale.conditions for pages in scale.sizes for batch in (0, _ON)]
    found += [Setting("threads", "idle", sizes, threads, batch, _MIXED_OPERATIONS)
              for sizes in scale.mixes for threads in scale.threads for batch in (0, _ON)]
    found += [Setting("batch", condition, sizes, 2, batch, _MIXED_OPERATIONS)
              for condition in ("idle", "pressure") for sizes in scale.mixes
              for batch in scale.batches]
    return found


Blocks = list[list[Planned]]


def rounds(scale: Scale, area_pages: int, seed: int) -> tuple[list[Blocks], list[LeftOut]]:
    """Of each repetition its blocks, and what does not fit the area."""
    fitting, left_out = [], []
    for setting in settings(scale):
        largest = Sizes.parse(setting.sizes).largest * setting.threads
        if largest > area_pages * SHARE / 100:
            left_out.append(LeftOut(setting.question, setting.condition, setting.threads,
                                    setting.sizes, f"{largest} pages at a time do not fit "
                                    f"{SHARE:.0f}% of the area's {area_pages}"))
        else:
            fitting.append(setting)
    found = []
    for repetition in range(scale.repetitions):
        rng = random.Random(f"{seed}/{repetition}")
        blocks = []
        for condition in scale.conditions:
            block = [Planned(one, repetition, seed + repetition) for one in fitting
                     if one.condition == condition]
            rng.shuffle(block)
            blocks.append(block)
        found.append(blocks)
    return found, list(dict.fromkeys(left_out))


def _operations(pages: int) -> int:
    """Enough for a distribution, in a time that is bearable under emulation."""
    return 400 if pages <= 16 else 200 if pages <= 256 else 100 if pages <= 1024 else 40
