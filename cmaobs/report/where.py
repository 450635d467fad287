# SPDX-License-Identifier: GPL-2.0
"""Where the pages of an area are: as data, and drawn as a map of characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cmaobs import where
from cmaobs.state import AreaState
from cmaobs.view import clear_runs

Data = Mapping[str, Any]

_ACROSS, _ROWS = 64, 16
# What a character is of: the first that any of its pages is, and whether all of them are.
_GLYPHS = (("allocated", "#", "*"), ("deferred", "=", "-"))
# Else what most of its pages are.
_OTHERS = {"lent": "o", "buddy": ".", "elsewhere": "?", "clear": "."}
_MEANS = {"#": "allocated", "*": "partly allocated", "=": "deferred", "-": "partly deferred",
          "o": "lent", ".": "free in the buddy", "?": "elsewhere"}


class _Row(NamedTuple):
    pfn: int
    text: str


def located(state: AreaState) -> dict[str, Any]:
    """Keys for an area's dict: runs by place, runs of clear pages by order, fragmentation."""
    clear = clear_runs(state)
    data: dict[str, Any] = {
        "ranges": [list(run) for run in state.facts.runs],
        "places": {place: [list(run) for run in runs]
                   for place, runs in where.places(state).items()},
        "clear_runs_by_order": {str(order): runs for order, runs in where.by_order(clear).items()},
        "fragmentation": where.fragmentation(clear)}
    if state.placed is not None and state.placed.fault:
        data["places_fault"] = state.placed.fault
    return data


def lines(area: Data, grain: int | None = None) -> Iterator[str]:
    """Numbers, and a map with so many pages a character; None: as many as make it fit."""
    pages = {place: sum(run[1] for run in runs) for place, runs in area["places"].items()}
    if "lent" in pages:
        yield (f"  of the free  {pages['buddy']} in the buddy, {pages['lent']} lent to movable "
               f"users, {pages['elsewhere']} elsewhere: on a CPU's list, or on their way")
    elif "places_fault" in area:
        yield f"  of the free  not known which are lent: {area['places_fault']}"
    if area["fragmentation"] is not None:
        lengths = ", ".join(f"{runs} of {_pages(int(order))}"
                            for order, runs in area["clear_runs_by_order"].items())
        yield f"  clear runs   {lengths}; fragmentation {area['fragmentation']:.0%}"
    if not area["pages"]:
        return
    scale = grain or _scale(area)
    used = set[str]()
    for first, count in area["ranges"]:
        drawn = list(_rows(area["places"], first, count, scale))
        used |= {glyph for row in drawn for glyph in row.text}
        yield from _folded(drawn)
    clear = _MEANS | ({} if "buddy" in pages else {".": "clear"})
    key = "  ".join(f"{glyph} {means}" for glyph, means in clear.items() if glyph in used)
    most = "; o . ? are what most are" if scale > 1 and "o" in used else ""
    yield f"    {scale} page{'s' * (scale > 1)} a character: {key}{most}"


def _scale(area: Data) -> int:
    scale = 1
    while sum(-(-count // (scale * _ACROSS)) for _, count in area["ranges"]) > max(
            _ROWS, len(area["ranges"])):
        scale *= 2
    return scale


def _rows(places: Mapping[str, list[list[int]]], first: int, count: int,
          scale: int) -> Iterator[_Row]:
    cells: list[dict[str, int]] = [{} for _ in range(-(-count // scale))]
    for place, runs in places.items():
        for pfn, pages in runs:
            at, end = max(pfn - first, 0), min(pfn + pages - first, count)
            for cell in range(at // scale, -(-end // scale)):
                here = min(end, (cell + 1) * scale) - max(at, cell * scale)
                cells[cell][place] = cells[cell].get(place, 0) + here
    text = "".join(map(_glyph, cells))
    for at in range(0, len(text), _ACROSS):
        yield _Row(first + at * scale, text[at:at + _ACROSS])


def _glyph(cell: Mapping[str, int]) -> str:
    for place, whole, partly in _GLYPHS:
        if place in cell:
            return whole if len(cell) == 1 else partly
    return _OTHERS[max(cell, key=lambda place: cell[place])]


def _pages(order: int) -> str:
    """The lengths of runs that an order stands for."""
    return f"{1 << order} to {(2 << order) - 1} pages" if order else "1 page"


def _folded(rows: list[_Row]) -> Iterator[str]:
    """Rows, of those that are like the one before only how many there are."""
    same = 0
    for row, before in zip(rows, [None, *rows], strict=False):
        if before is not None and row.text == before.text:
            same += 1
            continue
        if same:
            yield f"    {'':10}  {same} more row{'s' * (same > 1)} like it"
        same = 0
        yield f"    {row.pfn:#010x}  {row.text}"
    if same:
        yield f"    {'':10}  {same} more row{'s' * (same > 1)} like it"
