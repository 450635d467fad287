# SPDX-License-Identifier: GPL-2.0
"""Pages on the list over time, and how fragmented what is clear is. Pure."""

from __future__ import annotations

from cmaobs.runs import runs
from cmaobs.where import fragmentation

BINS = 120


class Withheld:
    """Told the size of the list whenever it may have changed.

    mean: over time. series: for each of BINS equal parts of the time, the mean and the most.
    fragmentation: as cmaobs.where has it, at the end of each part.
    """

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self._start_ns = start_ns
        self._width = max((end_ns - start_ns) / BINS, 1.0)
        self._sums = [0.0] * BINS
        self.most = [0] * BINS
        self.fragmentation: list[float | None] = []
        self.peak = 0
        self._at = 0.0  # in parts
        self._pages = 0

    def until(self, time_ns: int, reserved: int, size: int) -> None:
        """Time goes on; the list has been as it is. reserved: granules, of size."""
        at = min((time_ns - self._start_ns) / self._width, float(BINS))
        while self._at < at:
            part = int(self._at)
            end = min(at, part + 1.0)
            self._sums[part] += self._pages * (end - self._at)
            self.most[part] = max(self.most[part], self._pages)
            self._at = end
            if end == part + 1.0:
                clear = ~reserved & ((1 << size) - 1)
                self.fragmentation.append(fragmentation(runs(clear)))

    def now(self, pages: int) -> None:
        """What the list has from this time on."""
        self._pages = pages
        if pages > self.peak:
            self.peak = pages

    @property
    def series(self) -> list[float]:
        """Mean pages in each part."""
        return self._sums

    @property
    def mean(self) -> float:
        """Pages, over all the time."""
        return sum(self._sums) / BINS
