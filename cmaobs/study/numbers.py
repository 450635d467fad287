# SPDX-License-Identifier: GPL-2.0
"""Every number of a report is a row of one table, which is also the CSV. Pure.

What is drawn is drawn from rows only, and names them by their place.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from cmaobs import latency
from cmaobs.state import Latency
from cmaobs.study.intervals import Interval

SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


MEANINGS: Mapping[str, str] = {
    "row": "The number of the row, which the page's marks have as data-row.",
    "table": "Which part of the report it belongs to.",
    "statistic": "What of it: a mean, a quantile, a count or a name.",
    "unit": "Of value, low and high.",
    "value": "The best estimate; of a quantile the middle of its slot, of runs their median.",
    "recording": "The file, where the number is of one.",
    "area": "The CMA area.",
    "question": "What the runs were made to answer: size, threads or batch.",
    "condition": "What else went on: idle, pressure or fragmented.",
    "workload": "Sizes that were asked for in pages, as `cmaobs load --sizes` has them.",
    "threads": "Of the load.",
    "batch": "Of the area, in pages; 0 is off.",
    "against": "Of a ratio: the batch of the runs that value is divided by.",
    "operation": "alloc (granted), release, or one path of these.",
    "pages": "The size, or the first of a class up to the next power of two.",
    "low": "The lower end of an interval that holds the true value.",
    "high": "Its upper end; empty where there is none.",
    "confidence": "With which probability it does; 1 for the slot of a quantile.",
    "runs": "Of which the number is made; of instructions, boots.",
    "operations": "Of which the number is made.",
    "from_s": "Of a distribution: the shortest time of the slot, in seconds.",
    "to_s": "The shortest time that is above it.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One number, and what it is of: see MEANINGS. What does not apply is empty or None."""

    table: str
    statistic: str
    unit: str
    value: float | None
    recording: str = ""
    area: str = ""
    question: str = ""
    condition: str = ""
    workload: str = ""
    threads: int | None = None
    batch: int | None = None
    against: int | None = None
    operation: str = ""
    pages: int | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    runs: int | None = None
    operations: int | None = None
    from_s: float | None = None
    to_s: float | None = None


COLUMNS = ("row", *(one.name for one in fields(Row)))
if tuple(MEANINGS) != COLUMNS:
    raise ImportError(f"MEANINGS does not match Row: {set(MEANINGS) ^ set(COLUMNS)}")


def as_csv(rows: Iterable[Row]) -> str:
    """The table; row counts from 1, so that it is the line but one."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place, row in enumerate(rows, start=1):
        writer.writerow([place, *(_cell(getattr(row, name)) for name in COLUMNS[1:])])
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isinf(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def of_latency(one: Latency, **named: object) -> Iterator[Row]:
    """Count, mean, quantiles and the distribution of a histogram that is not empty."""
    n = one.count
    yield _row("latency", "count", "operations", n, named, operations=n)
    yield _row("latency", "mean", "seconds", latency.total_s(one) / n, named, operations=n)
    for name, share in SHARES:
        found = latency.quantile(one, share)
        assert found is not None
        yield _row("latency", name, "seconds", found.middle_s, named, operations=n,
                   low=found.low_s, high=_finite(found.high_s), confidence=1.0)
    for slot, hits in enumerate(one.slots):
        if hits:
            edge = latency.lower_edge_ns(slot + 1) / 1e9 if slot < latency.SLOTS - 1 else None
            yield _row("distribution", "operations", "operations", hits, named, operations=n,
                       from_s=latency.lower_edge_ns(slot) / 1e9, to_s=edge)


def of_interval(found: Interval, table: str, statistic: str, unit: str, operations: int | None,
                **named: object) -> Row:
    """A median of runs."""
    return _row(table, statistic, unit, found.median, named, low=found.low,
                high=_finite(found.high), confidence=found.confidence, runs=found.runs,
                operations=operations)


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def _row(table: str, statistic: str, unit: str, value: float | None, named: dict[str, object],
         **more: object) -> Row:
    return Row(table=table, statistic=statistic, unit=unit, value=value,
               **{**named, **more})  # type: ignore[arg-type]
