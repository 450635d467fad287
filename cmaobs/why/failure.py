# SPDX-License-Identifier: GPL-2.0
"""An allocation that returned NULL, and the words for why. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cmaobs.state import Stayed

KEPT = 20

CAUSES: Mapping[str, str] = {
    "no_room": "fewer pages were clear than it asked for",
    "fragmented": "enough pages were clear, but no run of them was long enough",
    "alignment": "a run was long enough, but not where the alignment allows it to begin",
    "oversize": "it asked for more than the area has in one run",
    "busy": "each place that it tried had pages that could not be taken (-EBUSY)",
    "interrupted": "its thread was killed meanwhile (-EINTR)",
    "no_memory": "there was no memory for what had to be moved away (-ENOMEM)",
    "zero": "it asked for no page",
    "other": "alloc_contig_range() returned another error",
    "unknown": "it cannot be told; the reason is beside it",
}
"""What ended an allocation, by mm/cma.c and alloc_contig_range() of mm/page_alloc.c."""


class Busy(NamedTuple):
    """A place that an allocation tried in vain.

    pfn, pages: the place. stayed: the first page in it that was not free in the end, as
    page_isolation:test_pages_isolated tells; 0 where it did not come to that test, or is not told.
    after_s: how much later page was read; both None where it was not.
    """

    pfn: int
    pages: int
    stayed: int = 0
    after_s: float | None = None
    page: Stayed | None = None

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "page": self.page._asdict() if self.page else None}


class Failure(NamedTuple):
    """An allocation that returned NULL: when it ended, what was asked for, by whom, and why not.

    cause: of CAUSES. told: a sentence with the numbers. align: an order of pages. clear_pages,
    largest_run_pages: of the area while it searched, at least and at most; None where that does not
    matter or is not known. busy: the last places tried in vain, in that order.
    """

    wall_s: float
    area: str
    pages: int
    errno: str
    comm: str
    pid: int
    duration_s: float
    cause: str = "unknown"
    told: str = ""
    align: int = 0
    tries: int = 0
    clear_pages: tuple[int, int] | None = None
    largest_run_pages: tuple[int, int] | None = None
    busy: tuple[Busy, ...] = ()

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "busy": [one.data() for one in self.busy]}


def page_told(busy: Mapping[str, Any]) -> str:
    """Of a place, as Busy.data() has it: the page that stayed, in words."""
    if not busy["stayed"]:
        return f"pages {busy['pfn']:#x}+{busy['pages']}: no page is told"
    name, page = f"page {busy['stayed']:#x} stayed", busy["page"]
    if page is None:
        return name
    flags = page["flags"]
    parts = ["flags not readable" if flags is None else " ".join(flags) or "no flags"]
    if page["mapped"] is not None:
        parts.append(f"in {page['mapped']} page table{'s' * (page['mapped'] != 1)}")
    if page["references"] is not None:
        beyond = _beyond(page)
        parts.append(f"{page['references']} references" + (
            f", {beyond} more than its users explain" if beyond else ""))
    if page["owner"]:
        parts.append(f"allocated by {page['owner']}")
    return f"{name}: {'; '.join(parts)}; as read {busy['after_s'] * 1e3:.0f} ms after"


def _beyond(page: Mapping[str, Any]) -> int:
    """References that neither page tables nor the page or swap cache nor buffers explain.

    As folio_expected_refs() of mm/migrate.c counts: with any more, a page cannot be moved.
    """
    flags = set(page["flags"] or ())
    if page["mapped"] is None or not flags & {"anon", "mmap", "lru"} or flags & {"thp", "huge"}:
        return 0
    cached = "anon" not in flags or "swapcache" in flags
    return int(max(page["references"] - page["mapped"] - cached - ("private" in flags), 0))
