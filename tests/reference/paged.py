# SPDX-License-Identifier: GPL-2.0
"""R1 to R12 again, page by page: slow and obvious, nothing shared with cmaobs.model.

Each method does what the rules say, and tells what it did.
"""

from __future__ import annotations

from cmaobs.state import AreaFacts, Run


class Paged:
    """One area as lists of pages and of bits."""

    def __init__(self, facts: AreaFacts, batch: int) -> None:
        self.base = facts.base_pfn
        self.granule = 2 ** facts.order_per_bit
        self.owned = [False] * facts.count
        self.bits = [False] * (facts.count // self.granule)
        self.list: list[list[int]] = []  # newest first; each extent a list of pages
        self.batch = batch

    def search(self, count: int, align: int, start: int) -> int | None:
        """R4: the lowest granule whose run fits, or None."""
        need = (count + self.granule - 1) // self.granule
        unit = max(2 ** align, self.granule)
        for at in range(start, len(self.bits)):
            address = at * self.granule + self.base
            offset = self.base % self.granule
            fits = count and (address - offset) % unit == 0 and at + need <= len(self.bits)
            if fits and not any(self.bits[at:at + need]):
                return at
        return None

    def mark(self, pfn: int, count: int, value: bool) -> None:
        """Set or clear the bits of pages."""
        for page in range(pfn - self.base, pfn - self.base + count):
            self.bits[page // self.granule] = value

    def held_by_one(self, pfn: int, count: int) -> bool:
        """R5: whether one extent contains the run."""
        run = set(range(pfn, pfn + count))
        return any(run <= set(extent) for extent in self.list)

    def take(self, pages: set[int]) -> None:
        """Pages leave the list; what is left of an extent stays."""
        left = []
        for extent in self.list:
            part: list[int] = []
            for page in extent:
                if page in pages:
                    if part:
                        left.append(part)
                    part = []
                else:
                    part.append(page)
            if part:
                left.append(part)
        self.list = left

    def own(self, pfn: int, count: int, value: bool) -> None:
        """Pages get or lose a caller."""
        for page in range(pfn, pfn + count):
            self.owned[page - self.base] = value

    def deferred(self) -> set[int]:
        """Pages on the list."""
        return {page for extent in self.list for page in extent}

    def scan(self, asked: int, tail: bool) -> tuple[int | None, tuple[Run, ...]]:
        """R9: the return value (None: SHRINK_STOP) and what was freed."""
        if asked < self.batch:
            return None, ()
        gone: set[int] = set()
        freed = []
        for extent in list(self.list):
            want = min(asked - len(gone), len(extent))
            if not want:
                break
            part = extent[-want:] if tail else extent[:want]
            gone |= set(part)
            freed.append((part[0], len(part)))
        self.take(gone)
        return len(gone), tuple(freed)
