# SPDX-License-Identifier: GPL-2.0
"""The words of the model: what an area holds, and what can happen to it.

Addresses are pfns, counts are pages, sets of pages are as in cmaobs.runs. A
step is what takes effect at one instant; cmaobs.model says which are lawful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cmaobs.runs import Run, union
from cmaobs.state import AreaFacts


@dataclass(frozen=True, slots=True)
class Policy:
    """What may differ between kernels that all mean well.

    deferral: False is a kernel without deferred freeing. merge: adjacent
    extents may make one, against R5. oldest_first: scans take the oldest
    extent first, against R9. flush_at_zero: batch = 0 gives extents back.
    prefer_deferred: a run inside an extent is picked before a lower one, against R4.
    flush_overlap: a miss gives back only the extents that it overlaps, against R6. keep: pages
    that the list holds at most; a release that would make it longer is direct; None: no limit.
    own: rules of R4, R6 and R9 in place of which something else chooses; pages must still be
    in one place each.
    """

    deferral: bool = True
    merge: bool = False
    oldest_first: bool = False
    flush_at_zero: bool = True
    prefer_deferred: bool = False
    flush_overlap: bool = False
    keep: int | None = None
    own: frozenset[str] = frozenset()

    @property
    def by_extent(self) -> bool:
        """Whether what an allocation does depends on where extents end, beyond R5."""
        return self.prefer_deferred or self.flush_overlap


RFC = Policy()
PLAIN = Policy(deferral=False)


class Extent(NamedTuple):
    """One extent of the deferred list, listed between since and until."""

    pfn: int
    pages: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class State:
    """One area. Pages that are nowhere below are in the buddy.

    reserved: granules whose bit is set. owned: pages that a caller holds.
    moving: pages off the list and not yet in the buddy (W2). extents: newest
    first. time: steps so far.
    """

    facts: AreaFacts
    reserved: int = 0
    owned: int = 0
    moving: int = 0
    extents: tuple[Extent, ...] = ()
    batch: int = 0
    time: int = 0

    @property
    def deferred(self) -> int:
        """Pages on the list."""
        return union(((e.pfn, e.pages) for e in self.extents), self.facts.base_pfn)

    @property
    def defer_count(self) -> int:
        """R10: the sum of the extents' counts."""
        return sum(e.pages for e in self.extents)


class Fault(NamedTuple):
    """A step that a rule forbids."""

    rule: str
    expected: str
    observed: str


class Pick(NamedTuple):
    """R4, R7: an allocation looks for a run from granule start on; pfn None: found none."""

    pages: int
    align: int
    start: int
    pfn: int | None


class Unpick(NamedTuple):
    """R7: the picked bits are cleared again."""

    pfn: int
    pages: int


class Fetch(NamedTuple):
    """R5: an allocation looks for its picked run on the deferred list."""

    pfn: int
    pages: int
    hit: bool


class Flush(NamedTuple):
    """R6: extents leave the list after a miss on a run, or because batch became 0 (run None)."""

    taken: tuple[Run, ...]
    run: Run | None = None


class Give(NamedTuple):
    """free_contig_range() for pages that left the list."""

    pfn: int
    pages: int


class Contig(NamedTuple):
    """alloc_contig_range() for the picked run; ret is 0 or -errno."""

    pfn: int
    pages: int
    ret: int


class Defer(NamedTuple):
    """R2: a release puts an extent on the list."""

    pfn: int
    pages: int


class Direct(NamedTuple):
    """R1, R3: a release frees its pages; Unpick follows."""

    pfn: int
    pages: int


class Count(NamedTuple):
    """R8: the shrinker's count; None is SHRINK_EMPTY."""

    returned: int | None


class Scan(NamedTuple):
    """R9: the shrinker's scan; returned None is SHRINK_STOP."""

    asked: int
    returned: int | None
    taken: tuple[Run, ...]


class SetBatch(NamedTuple):
    """batch is written; where it becomes 0, a Flush follows."""

    batch: int


Step = (Pick | Unpick | Fetch | Flush | Give | Contig | Defer | Direct | Count | Scan
        | SetBatch)
