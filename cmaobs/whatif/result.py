# SPDX-License-Identifier: GPL-2.0
"""What a replay comes to. Data."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from cmaobs.steps import State
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.withheld import Withheld


@dataclass(slots=True)
class Result:
    """What came of each ask, and what it cost others.

    paths: Path, by ask. pfns: granted, 0 if none. flushed, extents: pages and extents that the
    ask gave back first.
    assumed: asks whose answer from the buddy was assumed. flushes, scans: that gave pages back.
    contig: calls of alloc_contig_range(). unreleased: releases of what was not granted here.
    """

    paths: bytearray
    pfns: array[int]
    flushed: array[int]
    extents: array[int]
    withheld: Withheld
    assumed: int = 0
    contig: int = 0
    flushes: int = 0
    scans: int = 0
    scanned_pages: int = 0
    stopped: int = 0
    deferred: int = 0
    direct: int = 0
    unreleased: int = 0
    state: State | None = field(default=None, repr=False)

    @classmethod
    def of(cls, demand: Demand) -> Result:
        """Nothing yet."""
        none = bytes(8 * len(demand.asks))
        return cls(bytearray(len(demand.asks)), array("q", none), array("q", none),
                   array("q", none), Withheld(demand.start_ns, demand.end_ns))
