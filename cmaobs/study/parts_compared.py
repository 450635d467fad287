# SPDX-License-Identifier: GPL-2.0
"""What is shown of the runs of a manifest, and in what words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cmaobs.study import charts
from cmaobs.study.alone import Measured
from cmaobs.study.book import MARKS, Book, Section
from cmaobs.study.charts import Line, with_interval
from cmaobs.study.manifest import Manifest
from cmaobs.study.numbers import Row
from cmaobs.study.parts_alone import recordings

_KEY = (("off", "batch 0"), ("on", "batch above 0"))
_METHOD = (
    "Each setting was run several times, in an order drawn from a seed; runs that differ in batch "
    "only had the same requests. A value is the median of its runs. Its interval contains the "
    "true median with the probability that is told, whatever the distribution (order statistics: "
    "from the lowest to the highest of 6 runs it is 97 %, of 3 runs 75 %). Operations within a run "
    "depend on each other, so runs are counted, not operations.",
    "Latencies are histograms made in the kernel: a quantile is known to lie in a slot, a quarter "
    "of an octave wide, and the interval runs from slot end to slot end. A ratio is of pairs of "
    "runs with the same requests; one below 1 says that it was faster than with batch 0.",
    "Observing adds to each operation, and more in proportion to a short one. Instructions were "
    "counted without probes.")


def of_trial(manifest: Manifest, measured: Sequence[Measured],
             rows: Sequence[Row]) -> list[Section]:
    """All runs of a manifest."""
    book = Book(rows)
    return [_short(book), Section("How it was measured", _METHOD, always=True), *_by_size(book),
            _spent(book), _hits(book), _threads(book), _others(book), _instructions(book),
            _left(manifest, book), recordings(measured)]


def _short(book: Book) -> Section:
    """Ratios to batch 0."""
    table = [["condition", "workload, pages", "threads", "batch", "operation", "median", "mean",
              "99 of 100"]]
    keys = dict.fromkeys((m.row.condition, m.row.workload, m.row.threads, m.row.batch,
                          m.row.operation) for m in book.find("ratio", statistic="mean"))
    for condition, workload, threads, batch, operation in keys:
        cells = []
        for statistic in ("p50", "mean", "p99"):
            found = book.find("ratio", condition=condition, workload=workload, threads=threads,
                              batch=batch, operation=operation, statistic=statistic)
            cells.append(with_interval(found[0].row) if found else "")
        table.append([condition, workload, str(threads), str(batch), operation, *cells])
    return Section("In short: time with deferral, by that with batch 0",
                   ("Below 1 is faster with deferral, above 1 slower.",), table=table)


def _by_size(book: Book) -> list[Section]:
    found = []
    for condition in book.values("condition", "latency", question="size"):
        of = {"question": "size", "condition": condition}
        sizes = sorted(book.values("workload", "latency", **of), key=int)
        plots = []
        for operation in ("alloc", "release"):
            lines = [book.quantiles(f"{size} p, batch {batch}", **of, operation=operation,
                                    workload=size, batch=batch)
                for size in sizes for batch in book.values("batch", "latency", **of)]
            plots.append(charts.dots(f"{condition}: {operation} by size", lines, log=True))
        for size in sizes:
            plots += [charts.distribution(f"{condition}: {operation} of {_pages(size)}", [
                book.find("distribution", **of, operation=operation, workload=size, batch=batch)
                for batch in book.values("batch", "latency", **of)])
                for operation in ("alloc", "release")]
        found.append(Section(f"Latency by size: {condition}", (
            MARKS, "Outlines are the shares of operations by how long they took."), _KEY, plots))
    return found


def _pages(size: str) -> str:
    return "1 page" if size == "1" else f"{size} pages"


def _spent(book: Book) -> Section:
    plots = []
    for condition in book.values("condition", "spent", question="size"):
        of = {"question": "size", "condition": condition}
        lines = [book.parts(f"{size} p, batch {batch}", **of, workload=size, batch=batch)
                 for size in sorted(book.values("workload", "spent", **of), key=int)
                 for batch in book.values("batch", "spent", **of)]
        plots.append(charts.stacked(f"{condition}: a mean allocation", lines))
    return Section(
        "Where the time goes",
        ("Of allocations that were granted, by records: inside alloc_contig_range, giving back "
         "what was deferred, and the rest: waiting for locks, the bitmap, and all else.",),
        (("off", "alloc_contig_range"), ("third", "flush"), ("on", "the rest")), plots)


def _hits(book: Book) -> Section:
    plots = []
    for condition in book.values("condition", "hits", question="batch"):
        for workload in book.values("workload", "hits", question="batch"):
            of = {"question": "batch", "condition": condition, "workload": workload}
            batches = book.values("batch", "hits", **of)
            for table, statistic, log in (("hits", "hit ratio", False), ("work", "misses", False),
                                          ("withheld", "mean", False)):
                plots.append(charts.dots(
                    f"{condition}, {workload}: {_TITLES.get(statistic, statistic)}",
                    [Line(f"batch {batch}", book.find(table, **of, batch=batch,
                                                      statistic=statistic))
                     for batch in batches], log))
    return Section("Hit ratio against batch",
                   ("Hits by what was granted; two threads. What is withheld is the pages that "
                    "are deferred, over the time of the run.",), _KEY, plots)


_TITLES = {"mean": "pages withheld"}


def _threads(book: Book) -> Section:
    plots = []
    for workload in book.values("workload", "latency", question="threads"):
        of = {"question": "threads", "workload": workload}
        pairs = [(threads, batch) for threads in book.values("threads", "latency", **of)
                 for batch in book.values("batch", "latency", **of)]
        for title, table, more in (
                ("cma_alloc", "latency", {"operation": "alloc"}),
                ("allocations granted", "work", {"statistic": "allocations granted"}),
                ("hit ratio", "hits", {})):
            lines = [Line(f"{threads} thr, batch {batch}", [
                mark for mark in book.find(table, **of, **more, threads=threads, batch=batch)
                if table != "latency" or mark.row.statistic in charts.SHAPES])
                for threads, batch in pairs]
            plots.append(charts.dots(f"sizes {workload}: {title}", lines, table == "latency"))
    return Section("Threads", (MARKS,), _KEY, plots)


def _others(book: Book) -> Section:
    """What others feel: reclaim, stalls, memory withheld."""
    table = [["condition", "workload, pages", "batch", "what", "value"]]
    tables = ("others", "withheld")
    for name in tables:
        for mark in book.find(name):
            row = mark.row
            if row.condition == "pressure" and (row.value or row.high):
                table.append([row.condition, row.workload, str(row.batch),
                              f"{row.statistic}{' withheld' if name == 'withheld' else ''}",
                              with_interval(row)])
    plots = [charts.dots(f"pressure, {workload}: {statistic}", [
        Line(f"batch {mark.row.batch}", [mark])
        for mark in book.find("others", question="batch", condition="pressure", workload=workload,
                              statistic=statistic)], log=False)
        for workload in book.values("workload", "others", question="batch", condition="pressure")
        for statistic in ("allocation stalls", "pages scanned by kswapd",
                          "pages scanned by direct reclaim", "memory filled")]
    return Section(
        "What it costs everyone else",
        ("Under memory pressure: another process fills memory, gives a sixteenth of it back and "
         "fills it again, while the load runs. Memory filled is how fast it gets its pages. What "
         "is zero in all runs is only in the CSV.",), _KEY, plots, table)


def _instructions(book: Book) -> Section:
    found = book.find("instructions", statistic="median")
    if not found:
        return Section("Instructions", ("They were not counted in these runs.",), always=True)
    lines = [Line(f"{mark.row.operation} {mark.row.pages}", [
        other for other in found if (other.row.operation, other.row.pages)
        == (mark.row.operation, mark.row.pages)]) for mark in found if not mark.row.batch]
    table = [["operation", "pages", "batch", "median", "lowest", "highest", "rounds",
              "difference of the boots' medians"]]
    for mark in found:
        row = mark.row
        differ = book.find("instructions", statistic="difference of the boots' medians",
                           operation=row.operation, pages=row.pages, batch=row.batch)
        table.append([row.operation, str(row.pages), str(row.batch), f"{row.value:,.0f}",
                      f"{row.low:,.0f}", f"{row.high:,.0f}", str(row.operations),
                      f"{differ[0].row.value:,.0f}" if differ else "one boot"])
    return Section(
        "Instructions",
        ("Under QEMU's icount, without probes, through debugfs, with the system call; nothing to "
         "migrate, nobody else at work. A timer's interrupt falls into some rounds: the lowest is "
         "what the operation takes by itself. Lines run from the lowest to the highest.",),
        _KEY, [charts.dots("instructions, by operation and pages", lines, log=True)], table)


def _left(manifest: Manifest, book: Book) -> Section:
    table = [["what", "condition", "threads", "sizes, pages", "why"]]
    table += [[f"not run: {one.question}", one.condition, str(one.threads), one.sizes, one.why]
              for one in manifest.left_out]
    for mark in book.find("work", statistic="allocations failed"):
        row = mark.row
        if row.high:
            table.append([f"failed: {row.question}, batch {row.batch}", row.condition,
                          str(row.threads), row.workload, with_interval(row)])
    short = [run for run in manifest.runs if not run.load.get("complete")]
    table += [["not all requests were made in time", run.condition, str(run.threads), run.sizes,
               run.recording] for run in short]
    text = ("Settings that did not fit the area, allocations that the kernel refused (as a share "
            "of those asked for), and runs that were ended before all was done.",)
    return Section("What did not fit, and what failed", text if len(table) > 1 else (
        "Everything fitted, nothing failed, and all was done in time.",),
        table=table, always=True)
