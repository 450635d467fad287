# SPDX-License-Identifier: GPL-2.0
"""One operation at a time on the small kernel, and a checker that watches it."""

from __future__ import annotations

from random import Random

from cmaobs.events import Operation
from cmaobs.model import Policy
from reference.kernel import Kernel, Steps
from reference.load import Watch, facts


def alone(kernel: Kernel, *steps: Steps) -> list[Operation]:
    """Operations one after the other."""
    for each in steps:
        for _ in each:
            pass
        kernel.tick()
    made = kernel.out[:]
    kernel.out.clear()
    return made


def start(batch: int = 1, pages: int = 64, policy: Policy | None = None,
          order: int = 0) -> tuple[Kernel, Watch]:
    kernel = Kernel(facts(pages, order), Random(1), batch)
    watch = Watch(kernel, policy or Policy())
    watch.read()
    return kernel, watch


def settle(watch: Watch) -> None:
    for _ in range(2):
        watch.hand_over()
        watch.read()
        watch.hand_over()
