# SPDX-License-Identifier: GPL-2.0
"""What the kernel holds, as read: the second witness. Pure data.

Counts are pages, addresses are pfns, times are CLOCK_MONOTONIC in ns. None
stands for "this kernel has no such field", which is not zero.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cmaobs.buffers import Buffers

Run = tuple[int, int]  # (first pfn, pages)
# Names of the default area: of the command line or the kernel's configuration, of a device tree.
DEFAULT_AREAS = ("reserved", "linux,cma")


def default_area(names: Container[str]) -> str | None:
    """Which of these areas is the default one, by its name."""
    return next((name for name in DEFAULT_AREAS if name in names), None)


@dataclass(frozen=True, slots=True)
class AreaFacts:
    """What of a struct cma never changes after boot.

    ranges: where there are several (Linux 6.15 on), all of them, ascending; base_pfn is then the
    first's, and count is of all together.
    """

    index: int
    name: str
    base_pfn: int
    count: int
    order_per_bit: int
    ranges: tuple[Run, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        """The pages of the area: one run, or several ranges. No allocation crosses their ends."""
        return self.ranges or ((self.base_pfn, self.count),)

    @property
    def span(self) -> int:
        """Pages from the first to the last, those between the ranges included."""
        first, pages = self.runs[-1]
        return first + pages - self.base_pfn

    def holds(self, pfn: int, pages: int) -> bool:
        """Whether all these pages are the area's, and of one range."""
        if not self.ranges:
            return self.base_pfn <= pfn and pfn + pages <= self.base_pfn + self.count
        return any(first <= pfn and pfn + pages <= first + count for first, count in self.runs)


@dataclass(frozen=True, slots=True)
class Placed:
    """The pages that are not free in the buddy, as the kernel flags them, allocated or not.

    lent: in use; where no allocation has them, by movable users, who give them up to one.
    elsewhere: not in use; where no allocation has them and they are not deferred, on a CPU's list
    of free pages, or on their way. fault: why it could not be told.
    """

    lent: tuple[Run, ...] = ()
    elsewhere: tuple[Run, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class AreaState:
    """One area, read between start_ns and end_ns.

    allocated: runs of pages whose bit is set, ascending, not adjacent.
    extents: the deferred list, newest first, as listed.
    at_rest: no operation on the area began, ended or was in flight while it
    was read; only then do the parts belong to one instant.
    fault: why the reading cannot be used, or an empty string.
    shrinker_batch: the batch member of the area's shrinker, pages; 0 is the core's default.
    placed: where that was looked up for this reading; right after it, and as loosely.
    policy: enum cma_defer_policy of the series; cmaobs.policies has the names.
    """

    facts: AreaFacts
    start_ns: int
    end_ns: int
    allocated: tuple[Run, ...]
    extents: tuple[Run, ...] | None
    defer_count: int | None
    batch: int | None
    pages_succeeded: int | None
    pages_failed: int | None
    begun: int
    at_rest: bool
    fault: str = ""
    shrinker_batch: int | None = None
    placed: Placed | None = None
    policy: int | None = None


@dataclass(frozen=True, slots=True)
class Losses:
    """What the observer lost since it attached, by kind: struct cmaobs_losses and more."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Losses that leave a gap in the record of operations."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram of struct cmaobs_latency: nanoseconds summed, and hits by slot."""

    sum_ns: int
    slots: tuple[int, ...]

    @property
    def count(self) -> int:
        """Operations measured."""
        return sum(self.slots)


@dataclass(frozen=True, slots=True)
class AreaCounts:
    """Exact counts of one area since the probes were armed.

    counters: by the member names of struct cmaobs_counters.
    latencies: by enum cmaobs_hist, without its prefix, in lower case; phases: the same by enum
    cmaobs_phase, and moved by the members of struct cmaobs_moved, where phases are asked for.
    """

    facts: AreaFacts
    counters: Mapping[str, int]
    latencies: Mapping[str, Latency]
    phases: Mapping[str, Latency] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)


class Owned(NamedTuple):
    """Pages whose allocation the kernel itself remembers, by page_owner.

    since_ns: the kernel's own clock since boot, nearly CLOCK_MONOTONIC. pid: of the process.
    frames: functions, cma_alloc first.
    """

    pfn: int
    pages: int
    since_ns: int
    pid: int
    comm: str
    frames: tuple[str, ...]


class Stayed(NamedTuple):
    """A page on which alloc_contig_range() failed, as read soon after, without a lock.

    at_ns: CLOCK_MONOTONIC. flags: as include/uapi/linux/kernel-page-flags.h names them, in lower
    case. mapped: how often in page tables. references: to its struct page. Each is None where it
    could not be read. owner: who took it from the buddy, where page_owner tells, or "".
    """

    pfn: int
    at_ns: int
    flags: tuple[str, ...] | None
    mapped: int | None
    references: int | None
    owner: str = ""


class Withheld(NamedTuple):
    """Of a feature that --max-rate may withhold.

    now: whether it does. count: what was not told for that so far: records, stacks, or allocations
    whose phases were not followed.
    """

    now: bool
    count: int  # type: ignore[assignment]  # hides tuple.count


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything the kernel maps and a snapshot say at one time.

    stacks: kernel stacks by the number that records give them, innermost function first, each
    once, with the reading after the first record that has it. stacks_failed: operations whose stack
    could not be kept; None where none are taken. buffers: dma-bufs and who holds them, where that
    was looked up for this reading. owners: of pages that were allocated when the observer came,
    with the first reading. stayed: pages that were busy since the reading before. withheld: by
    feature of cmaobs.guard, of those in use; nothing without --max-rate, and in recordings.
    """

    time_ns: int
    wall_s: float
    counts: tuple[AreaCounts, ...]
    states: tuple[AreaState, ...]
    losses: Losses
    stacks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    stacks_failed: int | None = None
    buffers: Buffers | None = None
    owners: tuple[Owned, ...] = ()
    stayed: tuple[Stayed, ...] = ()
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
