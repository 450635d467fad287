# SPDX-License-Identifier: GPL-2.0
"""The cause of one failure. Pure.

What the kernel returned tells most. Where it found no run of clear bits, the bits tell the rest,
and only where no order of what went on meanwhile would give another answer.
"""

from __future__ import annotations

from typing import NamedTuple

from cmaobs.events import Operation
from cmaobs.model import EBUSY
from cmaobs.runs import first_fit, longest
from cmaobs.state import AreaFacts
from cmaobs.why.clear import Clear

_EINTR, _ENOMEM = 4, 12
Bounds = tuple[int, int]


class Judged(NamedTuple):
    """A cause of cmaobs.why.CAUSES, a sentence, and pages while it searched, at least and at most.
    """

    cause: str
    told: str
    clear_pages: Bounds | None = None
    largest_run_pages: Bounds | None = None


def needs_bits(facts: AreaFacts, operation: Operation) -> bool:
    """Whether what the kernel returned leaves the cause open."""
    record = operation.record
    return bool(record.count) and not record.n_contig and record.count <= _most(facts)


def judge(facts: AreaFacts, operation: Operation, clear: Clear | str) -> Judged:
    """Why the allocation failed; clear: while it ran, or why that is not known."""
    record = operation.record
    asked = f"asked for {record.count} pages"
    if not record.count:
        return Judged("zero", asked)
    if record.count > _most(facts):
        return Judged("oversize", f"{asked} of an area that has {_most(facts)}")
    if record.n_contig:
        return _returned(operation)
    if isinstance(clear, str):
        return Judged("unknown", f"{asked}; {clear}")
    return _searched(facts, operation, clear)


def _most(facts: AreaFacts) -> int:
    """Pages of the longest range, in whole bits: what the bitmap of one range could grant."""
    order = facts.order_per_bit
    return max(pages for _, pages in facts.runs) >> order << order


def _returned(operation: Operation) -> Judged:
    record = operation.record
    tried = f"{record.n_contig} place" + "s" * (record.n_contig != 1)
    if record.ret == -EBUSY:
        return Judged("busy", f"asked for {record.count} pages; {tried} tried, all busy")
    cause = {-_EINTR: "interrupted", -_ENOMEM: "no_memory"}.get(record.ret, "other")
    what = f"alloc_contig_range() returned {record.ret}"
    return Judged(cause, f"asked for {record.count} pages; {what} at the last of {tried}")


def _searched(facts: AreaFacts, operation: Operation, clear: Clear) -> Judged:
    """No run was long enough: was there room at all, and was it a matter of alignment?"""
    record, order = operation.record, facts.order_per_bit
    asked = -(-record.count >> order)
    room = clear.must.bit_count(), clear.may.bit_count()
    most = _longest(facts, clear.must), _longest(facts, clear.may)
    pages = (room[0] << order, room[1] << order), (most[0] << order, most[1] << order)
    told = (f"asked for {record.count} pages; {_span(pages[0])} were clear, "
            f"{_span(pages[1])} in the longest run")
    if _fits(facts, clear.must, asked, record.align):
        return Judged("unknown", f"{told}: it had room all the time, so something was not seen",
                      *pages)
    aligned = record.align > order
    if room[1] < asked:
        return Judged("no_room", told, *pages)
    if room[0] >= asked and (most[1] < asked or not aligned):
        return Judged("fragmented", told, *pages)
    if most[0] >= asked:
        return Judged("alignment", f"{told}, none at a multiple of {1 << record.align} pages",
                      *pages)
    return Judged("unknown", f"{told}: pages changed hands while it searched", *pages)


def _longest(facts: AreaFacts, members: int) -> int:
    return max(longest(members >> first & (1 << size) - 1) for first, size in _ranges(facts))


def _fits(facts: AreaFacts, members: int, asked: int, align: int) -> bool:
    """As bitmap_find_next_zero_area_off() is asked by cma_alloc(): R4, in each range."""
    order = facts.order_per_bit
    mask = (1 << (align - order)) - 1 if align > order else 0
    for (first, size), (pfn, _) in zip(_ranges(facts), facts.runs, strict=True):
        offset = (pfn & ((1 << align) - 1)) >> order
        if (-offset & mask) >= size:  # none of its bits is aligned
            continue
        if first_fit(members >> first & (1 << size) - 1, size, asked, mask, offset) is not None:
            return True
    return False


def _ranges(facts: AreaFacts) -> list[Bounds]:
    """First bit and number of bits of each range."""
    order = facts.order_per_bit
    return [((pfn - facts.base_pfn) >> order, pages >> order) for pfn, pages in facts.runs]


def _span(bounds: Bounds) -> str:
    low, high = bounds
    return str(low) if low == high else f"{low} to {high}"
