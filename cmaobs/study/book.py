# SPDX-License-Identifier: GPL-2.0
"""A part of the page, and rows to be looked up for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmaobs.study import charts
from cmaobs.study.charts import Line, Mark
from cmaobs.study.numbers import Row

PARTS = (("alloc_contig_range", "off"), ("flush", "third"), ("rest", "on"))
MARKS = "● half of the operations took no longer, ◐ nine of ten, ○ 99 of 100; lines are intervals."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. key: classes and what they stand for. table: its first line is a head.

    always: shown without plots and table, too.
    """

    title: str
    text: Sequence[str] = ()
    key: Sequence[tuple[str, str]] = ()
    plots: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    always: bool = False


class Book:
    """Rows with their numbers, to be looked up."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def find(self, table: str, **fields: Any) -> list[Mark]:
        """In the order of the CSV. series: by what batch is."""
        return [Mark(number, row, "on" if row.batch or row.operation.endswith(
                    ("_hit", "_deferred")) else "off")
                for number, row in enumerate(self._rows, start=1)
                if row.table == table
                and all(getattr(row, name) == value for name, value in fields.items())]

    def values(self, field: str, table: str, **fields: Any) -> list[Any]:
        """Of a field, each once, in order."""
        return list(dict.fromkeys(getattr(mark.row, field)
                                  for mark in self.find(table, **fields)))

    def quantiles(self, name: str, **of: Any) -> Line:
        """Of a latency."""
        return Line(name, [mark for mark in self.find("latency", **of)
                           if mark.row.statistic in charts.SHAPES])

    def parts(self, name: str, **of: Any) -> Line:
        """Where the time of an allocation went; series: by what it is."""
        return Line(name, [mark._replace(series=series) for part, series in PARTS
                           for mark in self.find("spent", statistic=part, **of)])
