# SPDX-License-Identifier: GPL-2.0
"""Counts by caller, bounded however many callers there are. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from cmaobs.who.callers import Caller

LISTED = 4096  # callers of all areas
SERIES = 64  # of all areas: what a metric's labels may become over time

OTHER = ("other", "other", "other")
Label = tuple[str, str, str]
"""kind, name and driver: a caller without what grows without bounds."""


class Counts(NamedTuple):
    """Operations and pages of one caller in one area, since the observer came.

    failures: by errno as the metrics name it. pages: granted.
    """

    allocations: int = 0
    pages: int = 0
    failures: Mapping[str, int] = {}

    @property
    def failed(self) -> int:
        """Allocations that returned NULL."""
        return sum(self.failures.values())

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        failures = dict(self.failures)
        for errno, count in more.failures.items():
            failures[errno] = failures.get(errno, 0) + count
        return Counts(self.allocations + more.allocations, self.pages + more.pages, failures)


def label(caller: Caller) -> Label:
    """The caller as labels of a metric."""
    return caller.kind, caller.name, caller.driver


class Ledger:
    """Counts by area index and caller, and by area index and label.

    callers: the LISTED that asked last. forgotten: the sum of those before them, by area.
    series: the first SERIES labels and then OTHER: what is in it once never leaves, so that
    counters only grow.
    """

    def __init__(self) -> None:
        self.callers: OrderedDict[tuple[int, Caller], Counts] = OrderedDict()
        self.series: dict[tuple[int, Label], Counts] = {}
        self.forgotten: dict[int, Counts] = {}

    def add(self, area: int, caller: Caller, counts: Counts) -> None:
        """Count for the caller."""
        key = area, caller
        self.callers[key] = self.callers.get(key, Counts()).plus(counts)
        self.callers.move_to_end(key)
        if len(self.callers) > LISTED:
            (gone, _), old = self.callers.popitem(last=False)
            self.forgotten[gone] = self.forgotten.get(gone, Counts()).plus(old)
        series = area, label(caller)
        if series not in self.series and len(self.series) >= SERIES:
            series = area, OTHER
        self.series[series] = self.series.get(series, Counts()).plus(counts)
