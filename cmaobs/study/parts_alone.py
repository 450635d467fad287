# SPDX-License-Identifier: GPL-2.0
"""What is shown of recordings, each by itself, and in what words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmaobs.study import charts
from cmaobs.study.alone import Measured
from cmaobs.study.book import MARKS, Book, Section
from cmaobs.study.charts import with_interval
from cmaobs.study.numbers import Row


def of_recordings(measured: Sequence[Measured], rows: Sequence[Row]) -> list[Section]:
    """Each recording by itself."""
    book = Book(rows)
    found = [recordings(measured)]
    for one in measured:
        for area in book.values("area", "latency", recording=one.name):
            found.append(_area(book, {"recording": one.name, "area": area}))
    return found


def _area(book: Book, of: dict[str, Any]) -> Section:
    quantiles = [book.quantiles(kind, **of, operation=kind, pages=None)
                 for kind in book.values("operation", "latency", **of)]
    plots = [charts.dots("latency by path", quantiles, log=True)]
    for what, kinds in (("allocations", ("alloc_contig", "alloc_hit")),
                        ("releases", ("release_direct", "release_deferred"))):
        plots.append(charts.distribution(f"{what} by path, share of each", [
            book.find("distribution", **of, operation=kind, pages=None) for kind in kinds]))
    for kind in book.values("operation", "spent", **of):
        pages = book.values("pages", "latency", **of, operation=kind)
        lines = [book.quantiles(_class(size), **of, operation=kind, pages=size)
                 for size in pages if size is not None]
        plots.append(charts.dots(f"{kind} by size", lines, log=True))
        plots.append(charts.stacked(f"{kind}: where the time went", [
            book.parts(_class(size), **of, operation=kind, pages=size)
            for size in book.values("pages", "spent", **of, operation=kind)]))
    counts = [[f"{mark.row.table}: {mark.row.statistic}" + (
        f", {mark.row.operation}" if mark.row.operation else ""), with_interval(mark.row)]
              for table in ("hits", "deferral", "withheld", "missing")
              for mark in book.find(table, **of)]
    return Section(
        f"{of['recording']}: area {of['area']}",
        (MARKS, "One recording has no repetition, so nothing says how far another would differ."),
        (("on", "hits and deferred releases"), ("off", "all else; alloc_contig_range"),
         ("third", "flush")), plots, [["", ""], *counts] if counts else ())


def _class(size: int) -> str:
    """The sizes of a class of records."""
    return "1 page" if size == 1 else f"{size}-{2 * size - 1} p"


def recordings(measured: Sequence[Measured]) -> Section:
    """What there is, and what each recording is worth."""
    table = [["recording", "seconds", "records", "lost", "operations without a record", "verdict",
              "why unknown, and what is missing"]]
    for one in measured:
        missing = sum(sum(area.missing.values()) for area in one.busy)
        why = [*(one.view.verdict.reasons if one.view.verdict else ()), *one.view.warnings]
        table.append([one.name, f"{one.seconds:.2f}", str(one.view.records), str(one.lost),
                      str(missing), one.outcome, "; ".join(why)])
    return Section(
        "Recordings",
        ("What each says by itself; `cmaobs replay FILE` reports the same. The verdict is that of "
         "the reference model on every operation of the recording.",), table=table)
