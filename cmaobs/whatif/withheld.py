# SPDX-License-Identifier: GPL-2.0
"""Pages on the list over time, and how fragmented what is clear is. Pure."""

from __future__ import annotations

from array import array

from cmaobs.runs import runs

BINS = 120


def _zeros() -> array[int]:
    return array("Q", bytes(8 * BINS))


class Withheld:
    """Told the size of the list whenever it may have changed.

    sums: pages times ns, by BINS equal parts of the time. most: pages, by part. clear, longest:
    clear pages at the end of each part, and those of the longest run. peak: pages.
    """

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self._start_ns, self._whole_ns = start_ns, end_ns - start_ns
        self.sums, self.most, self.clear, self.longest = (_zeros() for _ in range(4))
        self.peak = 0
        self._part = self._pages = 0
        self._now_ns = start_ns

    def until(self, time_ns: int, reserved: int, size: int, order: int) -> None:
        """Time goes on; the list has been as it is. reserved: of so many granules of an order."""
        while self._part < BINS and self._now_ns < time_ns:
            end = self._start_ns + self._whole_ns * (self._part + 1) // BINS
            to = min(time_ns, end)
            if to > self._now_ns:
                self.sums[self._part] += self._pages * (to - self._now_ns)
                self.most[self._part] = max(self.most[self._part], self._pages)
                self._now_ns = to
            if to == end:
                clear = [length for _, length in runs(~reserved & ((1 << size) - 1))]
                self.clear[self._part] = sum(clear) << order
                self.longest[self._part] = max(clear, default=0) << order
                self._part += 1

    def now(self, pages: int) -> None:
        """What the list has from this time on."""
        self._pages = pages
        if pages > self.peak:
            self.peak = pages

    @property
    def series(self) -> list[float]:
        """Mean pages in each part."""
        return [sum_ * BINS / max(self._whole_ns, 1) for sum_ in self.sums]

    @property
    def mean(self) -> float:
        """Pages, over all the time."""
        return sum(self.sums) / max(self._whole_ns, 1)

    @property
    def fragmentation(self) -> list[float]:
        """The share of the clear pages that is not in the longest run, where any is clear."""
        return [1 - longest / clear
                for clear, longest in zip(self.clear, self.longest, strict=True) if clear]
