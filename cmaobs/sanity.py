# SPDX-License-Identifier: GPL-2.0
"""Whether records and states can be what they say they are. Pure.

Guards the cross-check from what is no history at all: a recording that someone
made up, or a kernel whose structures are not what the probes took them for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmaobs.events import NO_AREA, Kind, Path, Record
from cmaobs.state import AreaFacts, AreaState, Placed

_KINDS = frozenset(map(int, Kind))
_PATHS = frozenset(map(int, Path))
_TIMES = 1 << 63
_PAGES = 1 << 52  # of a 64-bit machine
_CALLS = 1 << 20  # inside one operation
_AREAS = 1 << 28  # pages of all areas together, each of which takes memory here: 1 TiB
_GRANTED = (Path.HIT, Path.CONTIG)


def areas_fault(areas: Sequence[AreaFacts]) -> str:
    """What is impossible about the areas, or more than is followed; empty where nothing is."""
    for one in areas:
        # cma_bitmap_maxno() would be 0
        if one.order_per_bit > 63 or (one.count and not one.count >> one.order_per_bit):
            return f"area {one.name}: {one.count} pages in bits of 2^{one.order_per_bit} pages"
    pages = sum(one.count for one in areas)
    return f"areas of {pages} pages, more than {_AREAS}" if pages > _AREAS else ""


def record_fault(record: Record, areas: Mapping[int, AreaFacts]) -> str:
    """What is impossible about the record; empty where nothing is. areas by index."""
    if record.kind not in _KINDS or record.path not in _PATHS:
        return f"kind {record.kind} with path {record.path}"
    if not record.op_ns <= record.start_ns <= record.end_ns < _TIMES:
        return f"times {record.op_ns}, {record.start_ns}, {record.end_ns} ns"
    if record.count > _PAGES or record.align > 63 or record.n_contig + record.n_free > _CALLS:
        return f"{record.count} pages aligned to order {record.align}"
    if record.area == NO_AREA:
        return ""
    area = areas.get(record.area)
    if area is None:
        return f"area {record.area}"
    granted = record.kind == Kind.ALLOC and record.path in _GRANTED
    if (granted or record.kind == Kind.CONTIG) and not area.holds(record.pfn, record.count):
        return f"pfn {record.pfn:#x}+{record.count}, not in area {area.name}"
    return ""


def state_fault(state: AreaState) -> str:
    """What is impossible about the state; its own fault where it has one."""
    if state.fault:
        return state.fault
    if not state.start_ns <= state.end_ns < _TIMES:
        return f"times {state.start_ns}, {state.end_ns} ns"
    at = state.facts.base_pfn
    for pfn, count in state.allocated:
        if pfn < at or not state.facts.holds(pfn, count):
            return f"bits of pfn {pfn:#x}+{count}"
        at = pfn + count
    for pfn, count in state.extents or ():
        if not state.facts.holds(pfn, count):
            return f"an extent of pfn {pfn:#x}+{count}"
    placed = state.placed or Placed()
    for pfn, count in (*placed.lent, *placed.elsewhere):
        if not state.facts.holds(pfn, count):
            return f"a page's place: pfn {pfn:#x}+{count}"
    return ""
