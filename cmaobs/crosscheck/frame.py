# SPDX-License-Identifier: GPL-2.0
"""What operations change, and what they look at: the checker's words for both.

A Step is an effect on pages, on bits, or on both. A Frame is an interval at
one instant of which the operation looked at the area: its search, its fetch,
its flush or its scan. Pages and bits are sets as in cmaobs.runs, counted from
the area's first.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from cmaobs.crosscheck.extents import Piece
from cmaobs.events import Record

if TYPE_CHECKING:
    from cmaobs.crosscheck.plan import Flight

ALLOCATED, DEFERRED, FREE = 0, 1, 2
STATES = ("allocated", "deferred", "free")


class Step:
    """Pages go from state frm to state to, and bits become set or clear.

    opens, closes: the effect cannot be seen outside of this interval, in ns.
    lo, hi: one instant between these puts the step in order with others on
    the same page.
    """

    __slots__ = ("bits", "closes", "flight", "frm", "hi", "lo", "opens", "pages", "sets", "to")

    def __init__(self, flight: Flight, opens: int, closes: int, pages: int = 0,
                 frm: int = ALLOCATED, to: int = ALLOCATED, marks: int = 0,
                 sets: bool = False) -> None:
        self.flight = flight
        self.opens = self.lo = opens
        self.closes = self.hi = closes
        self.pages = pages
        self.frm = frm
        self.to = to
        self.bits = marks
        self.sets = sets


class Effects:
    """What some steps may have had an effect on: pages, bits, and as moved those of the pages that
    came to the list or left it.

    Sums, since what kept the steps would keep their operations, and through them all that these
    overlapped with.
    """

    __slots__ = ("bits", "moved", "pages")

    def __init__(self) -> None:
        self.pages = self.moved = self.bits = 0

    def add(self, *steps: Step) -> None:
        """And of these."""
        for step in steps:
            self.pages |= step.pages
            self.bits |= step.bits
            if DEFERRED in (step.frm, step.to):
                self.moved |= step.pages


class Look(Enum):
    """What an operation looked at the area for, during a frame."""

    SEARCH = 0  # an allocation: for a run of clear bits, and for its extent
    TAKE = 1  # a scan that freed all it was asked for: the list, until its last extent left it
    ENTRY = 2  # a probe: defer_count, before all that the operation did
    RETURN = 3  # and after all that it did
    WHOLE = 4  # all of the operation


class Frame:
    """An interval, and what was known of the area when it began (set by the sweep).

    call: the contig call that followed an allocation's search. before: bits
    that the search before this one had set. start: granule the search began at.
    busy: pages of steps that were open when it began. others: the effects of these, and of what
    others began since. alone: of a whole operation, no other was in flight with it. listed: of a
    whole operation, the extents when it began, in no order; None where they are too many.
    """

    __slots__ = ("alone", "batches", "before", "busy", "call", "clear", "closes", "deferred",
                 "flight", "frees", "hit", "listed", "look", "maybe", "one", "opens", "others",
                 "pieces", "set", "start", "whole")

    def __init__(self, flight: Flight, opens: int, closes: int, look: Look) -> None:
        self.flight = flight
        self.opens = opens
        self.closes = closes
        self.look = look
        self.whole = look is Look.WHOLE
        self.call: Record | None = None
        self.frees: list[Record] = []
        self.hit = False
        self.before = 0
        self.start = 0
        self.deferred = self.maybe = self.clear = self.set = self.busy = 0
        self.others = Effects()
        self.one: bool | None = None
        self.batches: set[int] | None = None
        self.pieces: tuple[Piece, ...] = ()
        self.listed: tuple[Piece, ...] | None = ()
        self.alone = True
