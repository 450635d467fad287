# SPDX-License-Identifier: GPL-2.0
"""The deferred list as far as it is known: which pages make one extent.

An extent keeps the release that made it as its origin; pieces of it that a
split leaves behind are extents of their own. Where the origin is None it is
not known where one extent ends and the next begins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cmaobs.runs import Run

_NOTED = 1024  # extents that are noted for evidence


class Piece(NamedTuple):
    """Pages from first on, listed at a time between since and until (ns)."""

    first: int
    pages: int
    origin: object | None
    since: int
    until: int


class Extents:
    """Pieces by place; none overlap."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._pieces: dict[int, Piece] = {}
        self._noted: tuple[Piece, ...] | None = ()

    def __len__(self) -> int:
        return len(self._firsts)

    def __iter__(self) -> Iterator[Piece]:
        return (self._pieces[first] for first in self._firsts)

    @property
    def noted(self) -> tuple[Piece, ...] | None:
        """All of them in no order, the same object until a change; None where they are many."""
        if self._noted is None and len(self._firsts) <= _NOTED:
            self._noted = tuple(self._pieces.values())
        return self._noted

    def clear(self) -> None:
        """Forget all of them."""
        self._firsts.clear()
        self._pieces.clear()
        self._noted = ()

    def add(self, first: int, pages: int, origin: object | None, since: int, until: int) -> None:
        """List pages; where the neighbour has the same origin, they are one extent."""
        self.remove(first, pages, until)
        at = bisect_left(self._firsts, first)
        if origin is not None and at < len(self._firsts):
            after = self._pieces[self._firsts[at]]
            if after.first == first + pages and after.origin is origin:
                pages += after.pages
                until = max(until, after.until)
                del self._pieces[self._firsts.pop(at)]
        if origin is not None and at:
            before = self._pieces[self._firsts[at - 1]]
            if before.first + before.pages == first and before.origin is origin:
                first, pages = before.first, before.pages + pages
                self._pieces[first] = Piece(first, pages, origin, since, max(until, before.until))
                return
        self._firsts.insert(at, first)
        self._pieces[first] = Piece(first, pages, origin, since, until)

    def remove(self, first: int, pages: int, now: int) -> None:
        """Take pages off, listed or not; a split part may have moved to the head by now."""
        self._noted = None
        end = first + pages
        at = bisect_right(self._firsts, first) - 1
        if at < 0 or (piece := self._pieces[self._firsts[at]]).first + piece.pages <= first:
            at += 1
        while at < len(self._firsts) and self._firsts[at] < end:
            piece = self._pieces.pop(self._firsts.pop(at))
            tail = piece.first + piece.pages - end
            if piece.first < first:
                self._insert(at, piece, piece.first, first - piece.first, now)
                at += 1
            if tail > 0:
                self._insert(at, piece, end, tail, now)
                return

    def _insert(self, at: int, piece: Piece, first: int, pages: int, now: int) -> None:
        self._firsts.insert(at, first)
        self._pieces[first] = Piece(first, pages, piece.origin, piece.since,
                                    max(piece.until, now))

    def split(self, first: int, pages: int, origin: object, now: int) -> None:
        """Of pages that a release listed, some may have left by now: the rest may have moved."""
        for piece in self.within(first, pages):
            if piece.origin is origin:
                self._pieces[piece.first] = piece._replace(until=max(piece.until, now))

    def blur(self, first: int, pages: int, origin: object) -> None:
        """It is not certain which of these pages are one extent with others of the release."""
        for piece in self.within(first, pages):
            if piece.origin is origin:
                self._pieces[piece.first] = piece._replace(origin=None)

    def within(self, first: int, pages: int) -> list[Piece]:
        """Pieces that share a page with the run, ascending."""
        at = bisect_right(self._firsts, first) - 1
        if at < 0 or (piece := self._pieces[self._firsts[at]]).first + piece.pages <= first:
            at += 1
        found = []
        while at < len(self._firsts) and self._firsts[at] < first + pages:
            found.append(self._pieces[self._firsts[at]])
            at += 1
        return found

    def one(self, first: int, pages: int, merge: bool = False) -> bool | None:
        """R5: whether one extent holds the run; None where that is not known.

        merge: adjacent extents may have become one, so that it is not known either.
        """
        found = self.within(first, pages)
        if not found or found[0].first > first:
            return False
        if len(found) == 1 and found[0].first + found[0].pages >= first + pages:
            return True if found[0].origin is not None or pages == 1 else None
        end = found[0].first
        for piece in found:
            if piece.first != end:
                return False
            end += piece.pages
        if end < first + pages:
            return False
        return None if merge or any(piece.origin is None for piece in found) else False

    def load(self, listed: Iterable[Run], base: int, now: int) -> None:
        """The list as a snapshot has it, newest first, in pfns."""
        self.clear()
        for age, (pfn, pages) in enumerate(listed):
            if pages:
                self.add(pfn - base, pages, object(), now - age, now - age)

    def restore(self, pieces: Iterable[Piece]) -> None:
        """Pieces by place, instead of what is known."""
        self._pieces = {piece.first: piece for piece in pieces}
        self._firsts = list(self._pieces)
        self._noted = None
