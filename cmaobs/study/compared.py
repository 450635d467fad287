# SPDX-License-Identifier: GPL-2.0
"""The numbers of all runs of a manifest: each setting over its repetitions, and batch 0 against the
others, pair by pair. Pure.

A pair is two runs that differ in batch only: same seed, same requests, made close to each other.
The ratio is of each pair, and its median and interval are over the pairs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from cmaobs import latency
from cmaobs.state import Latency
from cmaobs.study import intervals, numbers
from cmaobs.study.alone import NONE, Measured
from cmaobs.study.manifest import Counted, Manifest, Run
from cmaobs.study.measure import RELEASES, Area, Spent
from cmaobs.study.numbers import Row

GRANTED = ("alloc_hit", "alloc_contig")
_MERGED: Mapping[str, tuple[str, ...]] = {
    "alloc": GRANTED, "alloc_hit": ("alloc_hit",), "alloc_contig": ("alloc_contig",),
    "alloc_failed": ("alloc_failed",), "release": RELEASES}
# Shown as, and the counts of /proc/vmstat that begin so.
_VMSTAT = (("allocation stalls", "allocstall"), ("pages scanned by kswapd", "pgscan_kswapd"),
           ("pages scanned by direct reclaim", "pgscan_direct"),
           ("pages reclaimed by kswapd", "pgsteal_kswapd"),
           ("pages reclaimed by direct reclaim", "pgsteal_direct"),
           ("slab objects scanned", "slabs_scanned"), ("compaction stalls", "compact_stall"),
           ("pages migrated", "pgmigrate_success"), ("migrations failed", "pgmigrate_fail"))


class Setting(NamedTuple):
    """What the runs of a group have in common."""

    question: str
    condition: str
    workload: str
    threads: int
    batch: int


class One(NamedTuple):
    """A run, what was measured of it, and of its area."""

    run: Run
    measured: Measured
    area: Area

    def histogram(self, operation: str) -> Latency:
        """Made in the kernel; of several kinds together."""
        return latency.merge([self.area.latencies.get(kind, NONE) for kind in _MERGED[operation]])

    @property
    def seconds_each(self) -> dict[str, float]:
        """Where the time of an allocation that was granted went, on average."""
        parts = [spent for (kind, _), spent in self.area.spent.items() if kind in GRANTED]
        whole = sum(spent.whole for spent in parts)
        names: Mapping[str, Callable[[Spent], int]] = {
            "alloc_contig_range": lambda s: s.contig_ns, "flush": lambda s: s.flush_ns,
            "rest": lambda s: s.rest_ns}
        return {name: sum(map(of, parts)) / 1e9 / whole for name, of in names.items()
                } if whole else {}


Groups = Mapping[Setting, Sequence[One]]


def groups(manifest: Manifest, measured: Mapping[str, Measured]) -> Groups:
    """Runs by setting, repetitions in order. measured: by the recording's name.

    Raises KeyError for a recording that was not measured.
    """
    found: dict[Setting, list[One]] = defaultdict(list)
    for run in sorted(manifest.runs, key=lambda run: run.repetition):
        one = measured[run.recording]
        area = one.area(str(run.load.get("area")))
        if area is not None:
            found[Setting(run.question, run.condition, run.sizes, run.threads, run.batch)].append(
                One(run, one, area))
    return found


def rows(manifest: Manifest, made: Groups) -> Iterator[Row]:
    """All numbers of a manifest."""
    for setting, ones in sorted(made.items(), key=lambda item: _order(item[0])):
        named: dict[str, Any] = setting._asdict()
        yield from _latencies(ones, named)
        yield from _work(ones, named)
        yield from _cost(ones, named)
        against = made.get(setting._replace(batch=0))
        if setting.batch and against:
            yield from _ratios(ones, against, named)
    yield from counted(manifest.counted)


def _order(setting: Setting) -> tuple[Any, ...]:
    """Of the question of size first; one size before the next larger one, and mixes behind."""
    alone = int(setting.workload) if setting.workload.isdecimal() else sys.maxsize
    return setting.question != "size", setting.question, setting.condition, alone, *setting[2:]


def _latencies(ones: Sequence[One], named: dict[str, Any]) -> Iterator[Row]:
    for operation in _MERGED:
        all_of = [found for one in ones if (found := one.histogram(operation)).count]
        if not all_of:
            continue
        merged = latency.merge(all_of)
        about = {**named, "operation": operation}
        mean = intervals.of([latency.total_s(found) / found.count for found in all_of])
        assert mean is not None
        yield numbers.of_interval(mean, "latency", "mean", "seconds", merged.count, **about)
        for name, share in numbers.SHARES:
            ranges = intervals.bounded([_quantile(one, share) for one in all_of])
            assert ranges is not None
            yield numbers.of_interval(ranges, "latency", name, "seconds", merged.count, **about)
        for row in numbers.of_latency(merged, **about, runs=len(all_of)):
            if row.table == "distribution":
                yield row


def _quantile(one: Latency, share: float) -> tuple[float, float]:
    found = latency.quantile(one, share)
    assert found is not None
    return found.low_s, found.high_s


def _over(ones: Sequence[One], table: str, statistic: str, unit: str, named: dict[str, Any],
          of: Callable[[One], float | None]) -> Iterator[Row]:
    """The median of what the runs say, where they do."""
    values = [value for one in ones if (value := of(one)) is not None]
    found = intervals.of(values)
    if found is not None:
        yield numbers.of_interval(found, table, statistic, unit, None, **named)


def _work(ones: Sequence[One], named: dict[str, Any]) -> Iterator[Row]:
    yield from _over(ones, "hits", "hit ratio", "ratio", named, lambda one: one.area.hit_ratio)
    yield from _over(ones, "work", "misses", "operations", named,
                     lambda one: one.area.counters.get("flushes", 0))
    yield from _over(ones, "work", "allocations granted", "operations a second", named,
                     lambda one: one.histogram("alloc").count / one.run.seconds)
    yield from _over(ones, "work", "allocations failed", "ratio", named, _failed)
    for part in ("alloc_contig_range", "flush", "rest"):
        yield from _over(ones, "spent", part, "seconds", {**named, "operation": "alloc"},
                         lambda one, part=part: one.seconds_each.get(part))  # type: ignore[misc]


def _failed(one: One) -> float | None:
    failed, granted = one.histogram("alloc_failed").count, one.histogram("alloc").count
    return failed / (failed + granted) if failed + granted else None


def _cost(ones: Sequence[One], named: dict[str, Any]) -> Iterator[Row]:
    yield from _over(ones, "withheld", "mean", "pages", named, lambda one: one.area.withheld_mean())
    yield from _over(ones, "withheld", "most", "pages", named,
                     lambda one: max((pages for _, pages in one.area.withheld), default=None))
    yield from _over(ones, "withheld", "reclaimed by the shrinker", "pages", named,
                     lambda one: one.area.counters.get("scan_pages_returned", 0))
    for title, prefix in _VMSTAT:
        yield from _over(ones, "others", title, "a second", named,
                         lambda one, prefix=prefix: _grown(one.run, prefix))  # type: ignore[misc]
    yield from _over(ones, "others", "memory filled", "bytes a second", named, _filled)
    killed = [after - before for one in ones
              if (pair := one.run.vmstat.get("oom_kill")) for before, after in [pair]]
    if killed:
        yield Row("others", "processes killed for memory, in all runs", "processes", sum(killed),
                  **named, runs=len(killed))


def _grown(run: Run, prefix: str) -> float | None:
    """Growth of the counts that begin so, a second of load."""
    found = [after - before for name, (before, after) in run.vmstat.items()
             if name.startswith(prefix)]
    return sum(found) / run.seconds if found else None


def _filled(one: One) -> float | None:
    """How fast another process gets memory while the load runs."""
    told = one.run.load.get("pressure", {})
    seconds = told.get("refilling_s", 0)
    return told.get("refilled", 0) / seconds if seconds else None


def _ratios(ones: Sequence[One], against: Sequence[One], named: dict[str, Any]) -> Iterator[Row]:
    """Of each repetition, this batch's value by that of batch 0."""
    zero = {(one.run.repetition, one.run.seed): one for one in against}
    pairs = [(one, zero[key]) for one in ones
             if (key := (one.run.repetition, one.run.seed)) in zero]
    about = {**named, "against": 0}
    for operation in ("alloc", "release"):
        both = [(a.histogram(operation), b.histogram(operation)) for a, b in pairs]
        both = [(a, b) for a, b in both if a.count and b.count]
        total = sum(a.count + b.count for a, b in both)
        mean = intervals.of([a.sum_ns / a.count / (b.sum_ns / b.count) for a, b in both])
        if mean is None:
            continue
        yield numbers.of_interval(mean, "ratio", "mean", "ratio", total, **about,
                                  operation=operation)
        for name, share in numbers.SHARES:
            ranges = [_ratio(_quantile(a, share), _quantile(b, share)) for a, b in both]
            found = intervals.bounded(ranges)
            assert found is not None
            yield numbers.of_interval(found, "ratio", name, "ratio", total, **about,
                                      operation=operation)
    filled = [(x, y) for a, b in pairs if (x := _filled(a)) and (y := _filled(b))]
    rate = intervals.of([x / y for x, y in filled])
    if rate is not None:
        yield numbers.of_interval(rate, "ratio", "memory filled", "ratio", None, **about)


def _ratio(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Bounds of a ratio of two values that are known by their bounds."""
    return a[0] / b[1], a[1] / b[0] if b[0] else float("inf")


def counted(of: Sequence[Counted]) -> Iterator[Row]:
    """Instructions: the median of all rounds, the lowest and the highest, and how boots differ."""
    by: dict[tuple[str, int, int], dict[int, tuple[int, ...]]] = defaultdict(dict)
    for one in of:
        by[one.operation, one.pages, one.batch][one.boot] = one.instructions
    for (operation, pages, batch), boots in sorted(by.items()):
        medians = {boot: median(rounds) for boot, rounds in boots.items()}
        rounds = [number for found in boots.values() for number in found]
        about: dict[str, Any] = {"batch": batch, "operation": operation, "pages": pages}
        yield Row("instructions", "median", "instructions", median(rounds), **about,
                  low=min(rounds), high=max(rounds), runs=len(boots), operations=len(rounds))
        if len(medians) > 1:
            spread = max(medians.values()) - min(medians.values())
            yield Row("instructions", "difference of the boots' medians", "instructions", spread,
                      **about, runs=len(boots), operations=len(rounds))
