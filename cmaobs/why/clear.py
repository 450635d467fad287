# SPDX-License-Identifier: GPL-2.0
"""Which bits of an area were clear during an interval, from a reading and the operations since.

An allocation sets its bits, and a release clears them, at some instant between its start and its
end. In the order of these times - the end of an allocation, the start of a release - each bit
goes back and forth as it did, however operations overlapped (see cmaobs.who.follow). What
overlaps the interval may have taken effect or not: such bits may be clear, and are not certain to
be. So are those that an allocation tried in vain and cleared again. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import takewhile
from operator import attrgetter
from typing import NamedTuple

from cmaobs.events import Kind, Operation, Path
from cmaobs.model import granules
from cmaobs.runs import union
from cmaobs.state import AreaFacts, AreaState, Run

MOST = 4096  # operations that overlap one another without a pause


class Clear(NamedTuple):
    """Bits that are clear for certain, and those that may be; sets as in cmaobs.runs."""

    must: int
    may: int


class Change(NamedTuple):
    """What an operation does to bits. gives: it clears them. tried: set in between, and cleared."""

    start_ns: int
    end_ns: int
    bits: int
    tried: int
    gives: bool

    @property
    def key(self) -> int:
        """Where it stands in the order in which each bit changes."""
        return self.start_ns if self.gives else self.end_ns


_KEY = attrgetter("key")


def change(facts: AreaFacts, operation: Operation) -> Change | None:
    """The operation's change; None where it has none, or tells of pages that the area has not."""
    record = operation.record
    if record.kind == Kind.RELEASE:
        if record.path == Path.REJECTED or not facts.holds(record.pfn, record.count):
            return None
        return Change(record.start_ns, record.end_ns,
                      granules(facts, record.pfn, record.count), 0, True)
    bits = tried = 0
    if record.path != Path.FAILED and facts.holds(record.pfn, record.count):
        bits = granules(facts, record.pfn, record.count)
    for call in operation.calls:
        if call.kind == Kind.CONTIG and call.ret and facts.holds(call.pfn, call.count):
            tried |= granules(facts, call.pfn, call.count)
    return Change(record.start_ns, record.end_ns, bits, tried, False) if bits | tried else None


def whole(facts: AreaFacts) -> int:
    """Every bit of the area."""
    return _bits(facts, facts.runs)


class Line:
    """Bits of one area from a reading on; changes: of operations that had not ended before it.

    Asked for intervals in their order, it goes through the changes once.
    """

    def __init__(self, state: AreaState, changes: Iterable[Change]) -> None:
        self._since_ns = state.start_ns
        self._changes = sorted(one for one in changes if one.end_ns >= state.start_ns)
        self._firsts: list[int] = []  # of clusters: changes that overlap one another
        self._ends: list[int] = []
        for at, one in enumerate(self._changes):
            if self._ends and one.start_ns <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], one.end_ns)
            else:
                self._firsts.append(at)
                self._ends.append(one.end_ns)
        self._read = _read(state, self._changes)
        self._next, self._clear = 0, self._read  # a cluster, and what those before it left

    def during(self, start_ns: int, end_ns: int) -> Clear | None:
        """The bits in an interval that begins after the reading; None where too much overlaps."""
        first = bisect_left(self._ends, start_ns)
        if first < self._next:
            self._next, self._clear = 0, self._read
        for at in range(self._next, first):
            self._clear = self._after(self._clear, at)
        self._next = first
        clear = before = self._clear
        for at in range(first, len(self._ends)):
            if self._changes[self._firsts[at]].start_ns > end_ns:
                break
            if len(self._cluster(at)) > MOST:
                return None
            found = self._changed(before, at, start_ns, end_ns)
            clear = found if at == first else Clear(clear.must & found.must,
                                                    clear.may | found.may)
            before = self._after(before, at)
        return clear

    def _cluster(self, at: int) -> list[Change]:
        past = self._firsts[at + 1] if at + 1 < len(self._firsts) else len(self._changes)
        return self._changes[self._firsts[at]:past]

    def _after(self, clear: Clear, at: int) -> Clear:
        """What cluster `at` leaves of the bits before it."""
        return self._changed(clear, at, self._ends[at] + 1, self._ends[at])

    def _changed(self, clear: Clear, at: int, start_ns: int, end_ns: int) -> Clear:
        """What cluster `at` makes of the bits before it, in an interval."""
        must, may = clear
        for one in sorted(self._cluster(at), key=_KEY):
            if one.start_ns > end_ns:
                continue
            if one.end_ns >= start_ns:
                must, may = must & ~(one.bits | one.tried), may | one.bits | one.tried
            elif not one.gives:
                must, may = must & ~one.bits, may & ~one.bits
            elif one.start_ns >= self._since_ns:  # else the reading has it already, or not yet
                must, may = must | one.bits, may | one.bits
        return Clear(must, may)


def _read(state: AreaState, changes: Iterable[Change]) -> Clear:
    """As the bitmap was read; what was in flight meanwhile is not certain. changes: as they began.
    """
    must = may = whole(state.facts) & ~_bits(state.facts, state.allocated)
    for one in takewhile(lambda one: one.start_ns <= state.end_ns, changes):
        must, may = must & ~(one.bits | one.tried), may | one.bits | one.tried
    return Clear(must, may)


def _bits(facts: AreaFacts, runs: Iterable[Run]) -> int:
    order, base = facts.order_per_bit, facts.base_pfn
    return union((((pfn - base) >> order, pages >> order) for pfn, pages in runs))
