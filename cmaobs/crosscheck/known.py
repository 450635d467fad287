# SPDX-License-Identifier: GPL-2.0
"""What was known of an area around a divergence, before and after. Read only: changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cmaobs.crosscheck.extents import Piece
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, STATES
from cmaobs.crosscheck.plan import Flight
from cmaobs.crosscheck.rules import pages_of_bits
from cmaobs.runs import Run, bits, runs, union
from cmaobs.verdict import Known

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area

_AROUND = 16  # pages on either side
_RUNS = 256  # of one state that are kept

Sets = list[int]  # pages by state; what is in none of them is unknown


def around_operation(area: Area, pages: int, flight: Flight) -> tuple[Known, Known]:
    """Before: when the operation began. After: with what its records say it did."""
    frame = flight.whole
    record = flight.operation.record
    certain = area.pages.full & ~frame.busy & ~frame.maybe
    sets = [pages_of_bits(area.facts, frame.set) & certain, frame.deferred & ~frame.busy,
            pages_of_bits(area.facts, frame.clear) & certain]
    extents = None if frame.listed is None else _newest_first(area, frame.listed)
    window = _window(area, pages or _own(flight))
    counts = area.counts_defer
    before = _known(area, window, sets, extents, record.defer_entry if counts else None,
                    area.batch.value)
    for step in sorted(flight.steps, key=lambda step: step.lo):
        for state in (ALLOCATED, DEFERRED, FREE):
            sets[state] &= ~step.pages
        sets[step.to] |= step.pages
        if extents is not None and DEFERRED in (step.frm, step.to):
            extents = _changed(area, extents, step.pages, step.to == DEFERRED)
    after = _known(area, window, sets, extents, record.defer_exit if counts else None,
                   record.batch if counts else None)
    return before, after


def around_snapshot(area: Area, pages: int) -> tuple[Known, Known]:
    """Before: what the operations lead to. After: what the snapshot has."""
    know, state = area.pages, area.compared
    assert state is not None
    window = _window(area, pages)
    sets = [know.may[each] & ~know.unknown for each in (ALLOCATED, DEFERRED, FREE)]
    noted = know.extents.noted
    sums = None
    if area.drift is not None and area.counts_defer and not know.may[DEFERRED] & know.unknown:
        sums = know.deferred.bit_count() + area.drift
    before = _known(area, window, sets, None if noted is None else _newest_first(area, noted),
                    sums, area.batch.value)
    base = area.facts.base_pfn
    listed = union(state.extents or (), base) & know.full
    held = union(state.allocated, base) & know.full & ~listed
    after = _known(area, window, [held, listed, know.full & ~listed & ~held],
                   list(state.extents or ()), state.defer_count, state.batch)
    return before, after


def _own(flight: Flight) -> int:
    pages = 0
    for step in flight.steps:
        pages |= step.pages
    return pages


def _newest_first(area: Area, pieces: Iterable[Piece]) -> list[Run]:
    base = area.facts.base_pfn
    return [(piece.first + base, piece.pages)
            for piece in sorted(pieces, key=lambda piece: (-piece.since, piece.first))]


def _changed(area: Area, extents: list[Run], pages: int, listed: bool) -> list[Run]:
    """The list after pages left it, or came to its head."""
    base = area.facts.base_pfn
    left = [run for pfn, count in extents
            for run in runs(bits(pfn - base, count) & ~pages, base)]
    return [*runs(pages, base), *left] if listed else left


def _window(area: Area, pages: int) -> Run:
    """The hull of the pages and a few around; all of the area where there are none."""
    size = area.facts.count
    first = (pages & -pages).bit_length() - 1 if pages else 0
    last = pages.bit_length() if pages else size
    first = max(first // _AROUND * _AROUND - _AROUND, 0)
    last = min(-(-last // _AROUND) * _AROUND + _AROUND, size)
    return first + area.facts.base_pfn, last - first


def _known(area: Area, window: Run, sets: Sets, extents: list[Run] | None,
           defer_count: int | None, batch: int | None) -> Known:
    base = area.facts.base_pfn
    seen = bits(window[0] - base, window[1])
    parts = [*sets, area.pages.full & ~(sets[0] | sets[1] | sets[2])]
    allocated, deferred, free, unknown = (runs(part & seen, base)[:_RUNS] for part in parts)
    near = [(pfn, count, place) for place, (pfn, count) in enumerate(extents or (), start=1)
            if pfn < sum(window) and window[0] < pfn + max(count, 1)]
    return Known(window, allocated, deferred, free, unknown, tuple(near[:_RUNS]),
                 None if extents is None else len(extents),
                 {name: part.bit_count()
                  for name, part in zip((*STATES, "unknown"), parts, strict=True)},
                 defer_count, batch)
