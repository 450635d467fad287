# SPDX-License-Identifier: GPL-2.0
"""A snapshot that was taken while operations were in flight, against what may have been.

Each bit was read at some instant of the snapshot, and defer_count at another.
Bits that no operation could have changed meanwhile are compared one by one;
defer_count is held against the pages that must and may have been listed. The
list is not compared: a walk along links that change proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmaobs.crosscheck import rest
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, Effects, Step
from cmaobs.crosscheck.plan import Flight
from cmaobs.crosscheck.rules import Found, freed
from cmaobs.runs import bits
from cmaobs.state import AreaState

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area


class Glance:
    """What was known when the snapshot began, and what it was found to contradict."""

    def __init__(self, state: AreaState) -> None:
        self.state = state
        self.set = self.clear = self.deferred = self.maybe = self.faults = 0
        self.others = Effects()
        self.found: list[Found] = []
        self.flights: set[Flight] = set()
        self._busy = 0  # pages of operations in flight

    def begin(self, area: Area, flights: set[Flight]) -> None:
        """flights: operations in flight at its beginning."""
        pages = area.pages
        self.set, self.clear = pages.marks.set, pages.marks.clear
        self.deferred, self.maybe = pages.deferred, pages.may[DEFERRED]
        self.others.add(*pages.open)
        self.flights = flights
        self.faults = area.faults

    def meet(self, step: Step) -> None:
        """A step begins during the snapshot."""
        self.others.add(step)
        self._have(step.flight)

    def _have(self, flight: Flight) -> None:
        self._busy |= freed(self.state.facts, [flight.operation.record, *flight.operation.calls])

    def end(self, area: Area, flights: set[Flight]) -> None:
        """Compare, and learn what was not known. flights: operations in flight at its end."""
        state = self.state
        if state.start_ns <= area.blind_until:
            area.pace.passed_over("lost records")
            self.set = self.clear = 0
            self.flights = set()
            return
        touched, marked = self.others.pages, self.others.bits
        for flight in {*self.flights, *flights}:
            self._have(flight)
        self.flights = flights
        self.set &= ~marked
        self.clear &= ~marked
        low = (self.deferred & ~touched).bit_count()
        high = (self.maybe & ~touched | self.others.moved).bit_count()
        if state.defer_count is not None and area.known and area.drift is not None:
            value = state.defer_count - area.drift
            if not low <= value <= high:
                self.found.append(("R10", 0, f"defer_count {low} to {high}",
                                   f"{value} in a snapshot"))
        if area.known:
            area.pace.compared(state, area.ended)
        elif (not (state.extents or state.defer_count or state.batch)
              and area.policy.flush_at_zero):
            _learn(area, state, self._busy | touched | marked, marked)

    def tell(self, area: Area) -> None:
        """The operations in flight then are over."""
        area.settle(self.state, self.others.bits)
        if area.faults > self.faults:
            return
        area.compared = self.state
        self.found += rest.bits_that_differ(area, self.set, self.clear, self.state, torn=True)
        for rule, pages, expected, observed in self.found:
            area.diverge(rule, pages, expected, observed, at_ns=self.state.end_ns, torn=True)
        area.compared = None


def _learn(area: Area, state: AreaState, busy: int, marked: int) -> None:
    """Without deferral, a bit tells of its pages whether a caller has them.

    busy: pages that an operation of that time has to do with: there the bit leads or follows.
    """
    pages, facts = area.pages, area.facts
    every = bits(0, facts.count >> facts.order_per_bit)
    held = rest.bitmap(state)
    fresh = every & ~marked & ~(pages.marks.set | pages.marks.clear)
    pages.marks.set |= fresh & held
    pages.marks.clear |= fresh & ~held
    if facts.order_per_bit:
        area.pace.passed_over("more than one page to a bit")
        return
    new = pages.unknown & ~busy & ~pages.taint
    for kind, some in ((ALLOCATED, new & held), (FREE, new & ~held)):
        pages.may[kind] = pages.may[kind] & ~new | some
    pages.may[DEFERRED] &= ~new
    pages.unknown &= ~new
    if pages.unknown or pages.marks.set | pages.marks.clear != every:
        area.pace.passed_over("the state was being learned")
        return
    area.learned(state)
