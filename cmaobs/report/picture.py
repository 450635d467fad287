# SPDX-License-Identifier: GPL-2.0
"""What is to be drawn of a divergence: cells of pages and bars of time. Pure; draws nothing.

From the dicts of report.data. Text and HTML draw the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Data = Mapping[str, Any]

ACROSS = 64  # cells in a row
_ROWS = 8
STATES = ("allocated", "deferred", "free", "unknown")
MIXED = "mixed"


class Cells(NamedTuple):
    """A row of pages: first pfn, pages a cell, state of each cell, and which are concerned."""

    pfn: int
    pages: int
    states: tuple[str, ...]
    concerned: tuple[bool, ...]


class Bar(NamedTuple):
    """An operation or a call inside one: from the first column to the last, of columns.

    number: of the operation from 1 on; 0 is a call. at_us: from its beginning to its end, from
    the first operation on.
    """

    number: int
    record: Data
    first: int
    last: int
    at_us: tuple[float, float]


class TimeLine(NamedTuple):
    """Bars in columns that show the order of beginnings and ends, not their distance.

    noticed: the column of the divergence.
    """

    bars: tuple[Bar, ...]
    columns: int
    noticed: int


def rows(known: Data, concerned: Iterable[list[int]]) -> list[Cells]:
    """The window of a known state, row by row."""
    first, size = known["window"]
    scale = 1
    while size > scale * ACROSS * _ROWS:
        scale *= 2
    states = [""] * -(-size // scale)
    for state in STATES:
        for pfn, count in known[state]:
            for cell in range((pfn - first) // scale, -(-(pfn + count - first) // scale)):
                states[cell] = state if states[cell] in ("", state) else MIXED
    marks = [False] * len(states)
    for pfn, count in concerned:
        for cell in range(max((pfn - first) // scale, 0),
                          min(-(-(pfn + count - first) // scale), len(states))):
            marks[cell] = True
    return [Cells(first + at * scale, scale, tuple(one or "unknown"
                                                   for one in states[at:at + ACROSS]),
                  tuple(marks[at:at + ACROSS]))
            for at in range(0, len(states), ACROSS)]


def time_line(one: Data) -> TimeLine:
    """The operations of a divergence and the calls inside them."""
    shown: list[tuple[int, Data]] = []
    for number, op in enumerate(one["operations"], start=1):
        shown += [(number, op), *((0, call) for call in op["calls"][:_ROWS])]
    times = {one["at_ns"]}
    for _, record in shown:
        times |= {record["start_ns"], record["end_ns"]}
    column = {at: place for place, at in enumerate(sorted(times))}
    origin = min(times)
    bars = tuple(Bar(number, record, column[record["start_ns"]], column[record["end_ns"]],
                     ((record["start_ns"] - origin) / 1e3, (record["end_ns"] - origin) / 1e3))
                 for number, record in shown)
    return TimeLine(bars, len(column), column[one["at_ns"]])
