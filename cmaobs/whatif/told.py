# SPDX-License-Identifier: GPL-2.0
"""What readings tell besides the state of areas: losses, and jumps of clocks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cmaobs.state import Reading

_JUMP_S = 1.0  # that the time of day may stray from CLOCK_MONOTONIC between two readings


class Told:
    """Counts into left_out. first: there was no reading yet."""

    def __init__(self, left_out: Counter[str]) -> None:
        self.first = True
        self._left_out = left_out
        self._losses: Mapping[str, int] = {}
        self._clocks = 0, 0.0

    def take(self, reading: Reading) -> None:
        """One more."""
        for kind, count in reading.losses.counts.items():
            if count > self._losses.get(kind, 0):
                self._left_out[f"records lost by the observer ({kind})"] += (
                    count - self._losses.get(kind, 0))
        self._losses = reading.losses.counts
        (before_ns, before_s), self._clocks = self._clocks, (reading.time_ns, reading.wall_s)
        if self.first:
            self.first = False
            return
        monotonic_s = (reading.time_ns - before_ns) / 1e9
        if monotonic_s < 0:
            self._left_out["readings whose clock stood before that of the reading before"] += 1
        elif abs(reading.wall_s - before_s - monotonic_s) > _JUMP_S:
            self._left_out["jumps of the time of day, or suspends; the time in between is not part "
                           "of the demand"] += 1
