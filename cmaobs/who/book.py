# SPDX-License-Identifier: GPL-2.0
"""The pages of one area and whose they are. Pure.

Each piece is a run of pages with the caller that got it and the time since when. Pieces never
overlap. What comes late, such as a release that began before the present holder got the pages,
changes nothing. Where the allocation was not seen, any operation that was seen came later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cmaobs.state import Run
from cmaobs.who.callers import Caller

_INDEXED = 1 << 24  # pages from an area's first to its last: a byte each


class Piece(NamedTuple):
    """pages from pfn on, held by the caller since since_ns (CLOCK_MONOTONIC) at the latest."""

    pfn: int
    pages: int
    since_ns: int
    caller: Caller


class Book:
    """Whose pages are, by first pfn.

    A page's byte in _taken says whether anybody has it, so that what fits needs no search. The
    order of the pieces is found out when something does not fit.
    """

    def __init__(self, base_pfn: int, count: int) -> None:
        """The area's pages."""
        self._base = base_pfn
        self._taken = bytearray(count if count <= _INDEXED else 0)
        self._pieces: dict[int, Piece] = {}
        self._sorted: list[int] | None = []

    def pieces(self) -> tuple[Piece, ...]:
        """All, ascending."""
        return tuple(map(self._pieces.__getitem__, self._starts()))

    def take(self, piece: Piece) -> None:
        """The caller got the pages; whoever had them since before has them no more."""
        first = piece.pfn - self._base
        if self._taken and self._taken.find(1, first, first + piece.pages) < 0:
            self._add(piece)
            return
        self.give(piece.pfn, piece.pages, piece.since_ns)
        at = piece.pfn
        for other in tuple(self._within(piece.pfn, piece.pages)):  # got them still later
            if other.pfn > at:
                self._add(piece._replace(pfn=at, pages=other.pfn - at))
            at = max(at, other.pfn + other.pages)
        if at < piece.pfn + piece.pages:
            self._add(piece._replace(pfn=at, pages=piece.pfn + piece.pages - at))

    def give(self, pfn: int, pages: int, at_ns: int) -> None:
        """The pages are released by who has held them since at_ns or before; others keep theirs."""
        one = self._pieces.get(pfn)
        if one is not None and one.pages == pages and _since(one) <= at_ns:
            self._remove(one)
            return
        for one in tuple(self._within(pfn, pages)):
            if _since(one) <= at_ns:
                self._cut(one, pfn, pfn + pages)

    def keep(self, runs: Iterable[Run], unseen: bool) -> None:
        """Only what lies in these runs (ascending, disjoint) is still held.

        unseen: but leave pages alone whose allocation was seen.
        """
        clear_from, cuts = 0, list[tuple[int, int]]()
        for pfn, pages in (*runs, (1 << 64, 0)):
            if any(not unseen or one.caller.unseen
                   for one in self._within(clear_from, pfn - clear_from)):
                cuts.append((clear_from, pfn))
            clear_from = pfn + pages
        for begin, end in cuts:
            for one in tuple(self._within(begin, end - begin)):
                if not unseen or one.caller.unseen:
                    self._cut(one, begin, end)

    def fill(self, runs: Iterable[Run], caller: Caller, since_ns: int) -> None:
        """What of these runs nobody has, becomes the caller's."""
        added = []
        for pfn, pages in runs:
            at, end = pfn, pfn + pages
            for one in (*self._within(pfn, pages), Piece(end, 0, 0, caller)):
                if one.pfn > at:
                    added.append(Piece(at, one.pfn - at, since_ns, caller))
                at = one.pfn + one.pages
        for one in added:
            self._add(one)

    def covers(self, runs: Iterable[Run]) -> bool:
        """Whether these runs (ascending, not adjacent) are exactly what is held."""
        at, whole = -1, list[Run]()
        for start in self._starts():
            if start == at:
                first, pages = whole[-1]
                whole[-1] = first, pages + self._pieces[start].pages
            else:
                whole.append((start, self._pieces[start].pages))
            at = start + self._pieces[start].pages
        return whole == list(runs)

    def _starts(self) -> list[int]:
        if self._sorted is None:
            self._sorted = sorted(self._pieces)
        return self._sorted

    def _within(self, pfn: int, pages: int) -> Iterator[Piece]:
        """The pieces that have pages in the run, ascending."""
        if not pages:
            return
        starts = self._starts()
        at = max(bisect_right(starts, pfn) - 1, 0)
        for start in starts[at:bisect_right(starts, pfn + pages - 1)]:
            one = self._pieces[start]
            if one.pfn + one.pages > pfn:
                yield one

    def _cut(self, one: Piece, begin: int, end: int) -> None:
        """Of the piece, only what lies outside of begin to end stays."""
        self._remove(one)
        if one.pfn < begin:
            self._add(one._replace(pages=begin - one.pfn))
        behind = one.pfn + one.pages - end
        if behind > 0:
            self._add(one._replace(pfn=end, pages=behind))

    def _add(self, one: Piece) -> None:
        if self._taken:
            first = one.pfn - self._base
            self._taken[first:first + one.pages] = b"\1" * one.pages
        self._pieces[one.pfn] = one
        self._sorted = None

    def _remove(self, one: Piece) -> None:
        if self._taken:
            first = one.pfn - self._base
            self._taken[first:first + one.pages] = bytes(one.pages)
        del self._pieces[one.pfn]
        self._sorted = None


def _since(one: Piece) -> int:
    return 0 if one.caller.unseen else one.since_ns
