# SPDX-License-Identifier: GPL-2.0
"""All that is known at one moment: what metrics and reports are drawn from. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmaobs.buffers import Buffers
from cmaobs.phases import Phased
from cmaobs.state import AreaCounts, AreaFacts, AreaState, Reading, Run
from cmaobs.verdict import Verdict
from cmaobs.who import Holders
from cmaobs.why import Failure


@dataclass(frozen=True, slots=True)
class Tallied:
    """Counts made in the kernel against tallies of records, where nothing was lost.

    compared: readings of one area compared. exact: of those, how many had to be
    equal, because nothing happened meanwhile. mismatched: how many differed,
    which is a fault of the observer. mismatches: the first of them, a line each.
    """

    compared: int = 0
    exact: int = 0
    mismatched: int = 0
    mismatches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Frozen, so that threads may draw from it while the observer goes on.

    reading: the latest; None before the first. verdict: None where there is no
    cross-check. records: received. unjudged: of those, received since the
    latest reading and not yet given to the cross-check. faulted: snapshots
    that could not be used, by area. impossible: records that cannot be what
    they say, and what the first said. stacks: kernel stacks by the number that records give
    them, innermost function first. holders: who holds what; None where that is not
    followed. buffers: dma-bufs when they were last looked up. failures: the latest allocations that
    failed, oldest first. causes: how many failed, by index of the area and cause. slowest: the
    allocations that took longest, by index of the area, where phases are asked for.
    warnings: what is missing of the source. failure: why the source ended before its time, or
    empty.
    """

    identity: Mapping[str, str]
    areas: tuple[AreaFacts, ...]
    reading: Reading | None = None
    verdict: Verdict | None = None
    tallied: Tallied = field(default_factory=Tallied)
    records: int = 0
    unjudged: int = 0
    readings: int = 0
    faulted: Mapping[str, int] = field(default_factory=dict)
    impossible: int = 0
    first_impossible: str = ""
    stacks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    holders: Holders | None = None
    buffers: Buffers | None = None
    failures: tuple[Failure, ...] = ()
    causes: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    slowest: Mapping[int, tuple[Phased, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    failure: str = ""

    @property
    def patched(self) -> bool:
        """Whether the kernel defers; None-valued fields of a state say it does not."""
        said = self.identity.get("patched")
        if said is not None:
            return said == "yes"
        states = self.reading.states if self.reading else ()
        return any(state.defer_count is not None for state in states)

    def state(self, area: str) -> AreaState | None:
        """The latest state of the area that was read without a fault."""
        states = self.reading.states if self.reading else ()
        return next((s for s in states if s.facts.name == area and not s.fault), None)

    def counts(self, area: str) -> AreaCounts | None:
        """The latest counts of the area."""
        counts = self.reading.counts if self.reading else ()
        return next((c for c in counts if c.facts.name == area), None)


def free_pages(state: AreaState) -> int:
    """Pages in the buddy: neither allocated nor deferred."""
    return state.facts.count - allocated_pages(state) - (state.defer_count or 0)


def allocated_pages(state: AreaState) -> int:
    """Pages whose bit is set."""
    return sum(count for _, count in state.allocated)


def clear_runs(state: AreaState) -> list[Run]:
    """Runs of pages whose bit is clear, ascending; deferred pages are among them."""
    found = []
    for first, pages in state.facts.runs:
        at, end = first, first + pages
        for pfn, count in (*(run for run in state.allocated if first <= run[0] < end), (end, 0)):
            if pfn > at:
                found.append((at, pfn - at))
            at = pfn + count
    return found


def largest_clear_run(state: AreaState) -> int:
    """Pages of the longest run of clear bits: the largest request that has room."""
    return max((pages for _, pages in clear_runs(state)), default=0)
