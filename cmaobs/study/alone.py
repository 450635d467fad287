# SPDX-License-Identifier: GPL-2.0
"""The numbers of one recording: no repetition, so no interval but a quantile's own. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cmaobs import latency
from cmaobs.state import Latency
from cmaobs.study import numbers
from cmaobs.study.measure import ALLOCS, RELEASES, Area, Measuring
from cmaobs.study.numbers import Row
from cmaobs.view import View

_COUNTERS = (("misses", "flushes", "operations"), ("flushed", "flushed_pages", "pages"),
             ("scans", "scans", "operations"), ("scans stopped", "scans_stopped", "operations"),
             ("reclaimed", "scan_pages_returned", "pages"))
NONE = Latency(0, (0,) * latency.SLOTS)


@dataclass(frozen=True, slots=True)
class Measured:
    """A recording that was gone through. name: its file's. cut_off: what of it is missing."""

    name: str
    view: View
    found: Measuring
    cut_off: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """From its first reading to its last."""
        return (self.found.last_ns - self.found.first_ns) / 1e9

    @property
    def lost(self) -> int:
        """Records that did not come."""
        return self.view.reading.losses.total if self.view.reading else 0

    @property
    def outcome(self) -> str:
        """The verdict's name, or none."""
        return self.view.verdict.outcome.name.lower() if self.view.verdict else "none"

    def area(self, name: str) -> Area | None:
        """By name; None where the recording has no such area."""
        return next((one for one in self.found.areas.values() if one.facts.name == name), None)

    @property
    def busy(self) -> list[Area]:
        """Areas of which an operation was seen or counted."""
        return [one for one in self.found.areas.values()
                if any(kind.count for kind in one.latencies.values()) or one.slots]


def rows(one: Measured) -> Iterator[Row]:
    """All numbers of a recording."""
    yield Row("recording", "duration", "seconds", one.seconds, one.name)
    yield Row("recording", "records", "records", one.view.records, one.name)
    yield Row("recording", "lost", "records", one.lost, one.name)
    for area in one.busy:
        yield from _area(one, area)


def _area(one: Measured, area: Area) -> Iterator[Row]:
    name = {"recording": one.name, "area": area.facts.name}
    for kind in (*ALLOCS, *RELEASES, "contig", "scan"):
        made = area.latencies.get(kind, NONE)
        if made.count and (one.view.patched or kind not in ("alloc_hit", "release_deferred",
                                                            "scan")):
            yield from numbers.of_latency(made, **name, operation=kind)
    for kind, size in sorted(area.slots):
        yield from numbers.of_latency(area.by_size(kind, size), **name, operation=kind, pages=size)
    yield from spent(area, one.name)
    for kind, missing in area.missing.items():
        yield Row("missing", "operations without a record", "operations", missing, one.name,
                  area.facts.name, operation=kind)
    if not one.view.patched:
        return
    if area.hit_ratio is not None:
        yield Row("hits", "hit ratio", "ratio", area.hit_ratio, one.name, area.facts.name)
    for title, member, unit in _COUNTERS:
        yield Row("deferral", title, unit, area.counters.get(member, 0), one.name, area.facts.name)
    mean = area.withheld_mean()
    if mean is not None:
        yield Row("withheld", "mean", "pages", mean, one.name, area.facts.name)
        yield Row("withheld", "most", "pages", max(pages for _, pages in area.withheld), one.name,
                  area.facts.name)


def spent(area: Area, recording: str) -> Iterator[Row]:
    """Where the time of allocations went, seconds each on average, by path and size."""
    for (kind, size), found in sorted(area.spent.items()):
        for part, total_ns in (("alloc_contig_range", found.contig_ns), ("flush", found.flush_ns),
                               ("rest", found.rest_ns)):
            yield Row("spent", part, "seconds", total_ns / 1e9 / found.whole, recording,
                      area.facts.name, operation=kind, pages=size, operations=found.whole)
