# SPDX-License-Identifier: GPL-2.0
"""What is known of an area's bitmap, and how steps change it."""

from __future__ import annotations

from collections.abc import Iterable

from cmaobs.crosscheck.frame import Step


class Marks:
    """set, clear: bits that certainly are."""

    def __init__(self) -> None:
        self.set = self.clear = 0
        self._busy = self._clash = 0  # of steps that are open; where several were

    def forget(self) -> None:
        """Every bit may be either."""
        self.set = self.clear = 0

    def begin(self, step: Step) -> None:
        """A step may take effect from now on."""
        self._clash |= self._busy & step.bits
        self._busy |= step.bits

    def end(self, step: Step, others: Iterable[Step]) -> None:
        """A step has taken effect by now; others are open.

        Each lawful step on a bit turns it over, so order does not matter.
        """
        self._busy = 0
        for other in others:
            self._busy |= other.bits
        if not step.bits:
            return
        crossed = step.bits & (self._clash | self._busy)
        alone = step.bits & ~crossed
        if step.flight.blind:
            self.set &= ~step.bits
            self.clear &= ~step.bits
        else:
            turned = crossed & (self.set | self.clear)
            self.set ^= turned
            self.clear ^= turned
            if step.sets:
                self.set |= alone
                self.clear &= ~alone
            else:
                self.clear |= alone
                self.set &= ~alone
        self._clash &= ~(step.bits & ~self._busy)
