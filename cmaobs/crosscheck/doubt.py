# SPDX-License-Identifier: GPL-2.0
"""Whose fault it was that an operation came upon something wrong, as a later snapshot tells.

A search that passed by a run was wrong, or there were bits that a release had left set: the
snapshot has them. A flush or a scan that left out a remainder of an extent forgot it, or the hit
that split the extent had dropped it: then no snapshot has it listed. Until one was compared, or
for HOLD_NS, the checker does not tell such a divergence. Only its rule and the operations that
it names depend on this; whether there is one does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmaobs.crosscheck import blame, rules
from cmaobs.crosscheck.blame import Root
from cmaobs.crosscheck.frame import Step
from cmaobs.crosscheck.plan import Flight
from cmaobs.crosscheck.rest import bitmap
from cmaobs.events import Kind
from cmaobs.model import granules
from cmaobs.runs import bits, runs, union
from cmaobs.state import AreaState
from cmaobs.verdict import Divergence

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area

HOLD_NS = 5_000_000_000
_MOST = 16  # the oldest: what comes later follows from them


class Doubt:
    """marks: bits that were to be clear, of those that nobody had to do with since.

    listed: pages that were to be listed. None of them: there is nothing to be seen any more.
    """

    def __init__(self, divergence: Divergence, roots: list[Root], marks: int = 0,
                 listed: int = 0) -> None:
        self.divergence = divergence
        self.marks, self.listed = marks, listed
        self._roots = roots

    def settled(self, area: Area, state: AreaState, marked: int = 0) -> Divergence | None:
        """Told by its root, where the snapshot shows one; None: as it was.

        marked: bits that may have changed while the snapshot was read.
        """
        held = self.marks & ~marked & bitmap(state)
        if held:
            where = rules.pages_of_bits(area.facts, held)
            return self._by_root(area, where, "bits clear", "bits set in a snapshot")
        if self.listed and state.at_rest and state.extents is not None:
            base = area.facts.base_pfn
            if not union(state.extents, base) & self.listed:
                return self._by_root(area, self.listed, "what is left of an extent listed",
                                     "on no list")
        return None

    def _by_root(self, area: Area, pages: int, expected: str, observed: str) -> Divergence | None:
        told = self.divergence
        for root in self._roots:
            if part := root.pages & pages:
                own = told.operations[-1:]
                return replace(told, rule=root.rule, pages=runs(part, area.facts.base_pfn),
                               expected=expected, observed=f"{observed}; {told.observed}",
                               operations=(*root.operations, *own))
        return None


class Doubts:
    """Of one area."""

    def __init__(self) -> None:
        self._open: list[Doubt] = []

    def __contains__(self, divergence: Divergence) -> bool:
        return any(doubt.divergence is divergence for doubt in self._open)

    def __len__(self) -> int:
        return len(self._open)

    def clear(self) -> None:
        """Nothing of before is known any more."""
        self._open.clear()

    def note(self, area: Area, divergence: Divergence, pages: int, flight: Flight) -> None:
        """A divergence of an operation on pages that are still as they were known."""
        self._open = [doubt for doubt in self._open
                      if area.clean_ns < doubt.divergence.at_ns + HOLD_NS]
        if not pages or len(self._open) == _MOST:
            return
        if divergence.rule == "R4":
            marks = area.pages.marks.clear & _granules(area, pages)
            if marks and (keepers := list(blame.keepers(area, pages))):
                self._open.append(Doubt(divergence, keepers, marks=marks))
        elif divergence.rule in ("R5", "R6", "R9"):
            freed = _freed(area, flight)
            left = pages & ~freed if divergence.rule == "R5" else pages
            if lost := _losers(area, left, freed):
                listed = 0
                for root in lost:
                    listed |= root.pages
                self._open.append(Doubt(divergence, lost, listed=listed))

    def begin(self, step: Step) -> None:
        """What a later step has to do with tells nothing of before."""
        for doubt in self._open[:]:
            doubt.marks &= ~step.bits
            doubt.listed &= ~step.pages
            if not doubt.marks | doubt.listed:
                self._open.remove(doubt)

    def compare(self, area: Area, state: AreaState, marked: int = 0
                ) -> list[tuple[Divergence, Divergence]]:
        """Each divergence that has a root, with that; what the snapshot settles waits no longer."""
        found = []
        for doubt in self._open[:]:
            if state.start_ns < doubt.divergence.at_ns:
                continue
            root = doubt.settled(area, state, marked)
            if root is not None:
                found.append((doubt.divergence, root))
            if root is not None or state.at_rest or (doubt.marks and not doubt.marks & marked):
                self._open.remove(doubt)
        return found


def _freed(area: Area, flight: Flight) -> int:
    return rules.freed(area.facts, [call for call in flight.operation.calls
                                    if call.kind == Kind.FREE])


def _losers(area: Area, pages: int, freed: int) -> list[Root]:
    """Who may have dropped pages that an operation left out which freed others of the list.

    A release whose extent was freed but for its end had listed fewer pages (R2). A hit has dropped
    what is left beside it (R5), unless whole extents were left out as well, or nothing was freed:
    then it is as likely that all of it was forgotten.
    """
    if not freed or freed & pages:
        return []
    short, dropped, whole = list[Root](), list[Root](), False
    for first, length in runs(pages):
        piece = bits(first, length)
        release = next((op for op in blame.latest(area)
                        if op.record.kind == Kind.RELEASE and blame.run_of(area, op) & piece), None)
        if release is None or piece & ~blame.run_of(area, release):
            whole = True
            continue
        extent = blame.run_of(area, release)
        hits = [op for op in blame.latest(area) if op.record.kind == Kind.ALLOC
                and op.record.start_ns > release.record.start_ns
                and blame.run_of(area, op) & extent]
        rest = extent
        for op in hits:
            rest &= ~blame.run_of(area, op)
        if freed & rest & (piece << 1 | piece >> 1):
            short.append(Root(piece, "R2", (release,)))
        elif hits:
            dropped.append(Root(piece, "R5", (release, *reversed(hits[:3]))))
        else:
            whole = True
    return short if whole else [*short, *dropped]


def _granules(area: Area, pages: int) -> int:
    marks = 0
    for pfn, count in runs(pages, area.facts.base_pfn):
        marks |= granules(area.facts, pfn, count)
    return marks
