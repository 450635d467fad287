# SPDX-License-Identifier: GPL-2.0
"""The same as cmaobs.whatif.gather, by the compiled lane, for areas of one range and page to a bit.

An accelerator: what it does not take, and a machine without it, goes through Gather.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cmaobs.events import RECORD
from cmaobs.export.words import comm_text
from cmaobs.lane import library
from cmaobs.sanity import state_fault
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading
from cmaobs.whatif import gather, holding
from cmaobs.whatif.demand import Asks, Demand, Events
from cmaobs.whatif.told import Told

# In the order of cmaobs/lane/gather.h.
_LEFT_OUT = (gather.IMPOSSIBLE, gather.GAP.format("an operation's return was not seen"),
             gather.GAP.format("an operation's record was not seen"), gather.ALIGNED,
             gather.ELSEWHERE, gather.BACKWARDS)
_OF_AREA = (gather.REJECTED, gather.NOT_ITS_OWN, holding.NOT_SEEN, holding.GRANTED_AGAIN,
            holding.RELEASED_AT_REST, holding.ALLOCATED_AT_REST)
_EVENTS = ("times", "asks", "a", "b", "tids")
_SUMS = ("start_ns", "end_ns", "threads", "overlapping", "operations", "contig", "busy")
_MOST_AREAS = 1024


class BeyondError(Exception):
    """Only Gather can tell: begin again with it."""


def takes(areas: Iterable[AreaFacts]) -> bool:
    """Whether Quick can be made for them."""
    return library.load()[1] is not None and not any(
        area.ranges or area.order_per_bit or area.index >= _MOST_AREAS for area in areas)


class Quick:
    """As Gather. All methods raise BeyondError, and MemoryError."""

    def __init__(self, source: str, identity: Mapping[str, str],
                 areas: Sequence[AreaFacts]) -> None:
        self.left_out: Counter[str] = Counter()
        self._told = Told(self.left_out)
        self._ffi, self._lib, _ = library.load()
        made = self._lib.lane_gathering_new(max((area.index for area in areas), default=-1) + 1)
        if not made:
            raise MemoryError
        self._lane = self._ffi.gc(made, self._lib.lane_gathering_free)
        self._holdings = {}
        for area in areas:
            self._must(self._lib.lane_gathering_define(self._lane, area.index, area.base_pfn,
                                                       area.count))
            self._holdings[area.index] = holding.Holding(Demand(
                area, source, identity.get("patched") == "yes",
                identity.get("release", "unknown")))

    def _must(self, status: int) -> None:
        if status < 0:
            raise MemoryError
        if status:
            raise BeyondError

    def add(self, step: Batch | Reading) -> None:
        """A step."""
        if isinstance(step, Reading):
            self._reading(step)
        else:
            self._must(self._lib.lane_gathering_feed(
                self._lane, self._ffi.from_buffer(step.data), len(step.data) // RECORD.size,
                step.watermark_ns))

    def _reading(self, reading: Reading) -> None:
        if self._told.first:
            for one in self._holdings.values():
                one.demand.wall_s = reading.wall_s
        self._told.take(reading)
        for state in reading.states:
            index = state.facts.index
            if index not in self._holdings or state_fault(state):
                continue
            one = self._holdings[index]
            if one.known and not state.at_rest:
                continue
            take = self._lib.lane_gathering_rest
            if not one.known:
                one.begin(state, self._lib.lane_gathering_asked(self._lane, index).kinds.n)
                take = self._lib.lane_gathering_begin
            runs = array("Q", [value for run in state.allocated for value in run])
            self._must(take(self._lane, index, state.start_ns,
                            self._ffi.from_buffer("uint64_t[]", runs), len(state.allocated)))

    def demands(self) -> list[Demand]:
        """There is no further step. One for each area that was asked for pages."""
        self._must(self._lib.lane_gathering_end(self._lane))
        self.left_out.update(_counted(_LEFT_OUT, self._lib.lane_gathering_left_out(self._lane)))
        for index, one in self._holdings.items():
            self._fill(one.demand, self._lib.lane_gathering_asked(self._lane, index))
        self._lane = None
        return [one.demand for one in self._holdings.values() if one.demand.operations]

    def _fill(self, demand: Demand, found: Any) -> None:
        demand.events = Events(kinds=bytearray(self._bytes(found.kinds)), **{
            name: self._column(getattr(found, name)) for name in _EVENTS})
        asks = demand.asks = Asks(freeing=dict(self._rows(found.freeing, 2)))
        asks.paths, asks.idle = (bytearray(self._bytes(one)) for one in (found.paths, found.idle))
        asks.pages, asks.durations, asks.pfns, asks.alone = map(self._column, (
            found.pages, found.durations, found.pfns, found.alone))
        for name in _SUMS:
            setattr(demand, name, int(getattr(found, name)))
        tries: dict[int, list[tuple[int, int]]] = {}
        for ask, pfn, ret in self._rows(found.tries, 3):
            tries.setdefault(ask, []).append((pfn, ret))
        asks.tries = {ask: tuple(calls) for ask, calls in tries.items()}
        demand.frees = self._rows(found.frees, 2)
        demand.later = self._rows(found.later, 3)
        for one, other, *sums in self._rows(found.callers, 6):
            comm = comm_text(array("q", (one, other)).tobytes())
            known = demand.callers.setdefault(comm, [0, 0, 0, 0])
            known[:] = map(sum, zip(known, sums, strict=True))
        demand.left_out.update(_counted(_OF_AREA, found.left_out))

    def _column(self, column: Any) -> array[int]:
        made = array("q")
        if column.n:
            made.frombytes(self._ffi.buffer(column.at, 8 * column.n))
        return made

    def _bytes(self, column: Any) -> bytes:
        return bytes(self._ffi.buffer(column.at, column.n)) if column.n else b""

    def _rows(self, column: Any, width: int) -> list[Any]:
        values = iter(self._column(column))
        return list(zip(*[values] * width, strict=True))


def _counted(names: Sequence[str], counts: Any) -> Counter[str]:
    return Counter({name: int(counts[i]) for i, name in enumerate(names) if counts[i]})
