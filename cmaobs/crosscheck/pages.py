# SPDX-License-Identifier: GPL-2.0
"""What is known of an area's pages, and how steps change it.

``may[s]`` holds the pages that may be in state s. A step on pages that no
other step overlaps is applied when it closes. Where steps overlap on a page,
they are kept until none of them is open there, and then put in order
together, page by page alike. Until then the page counts as touched, and
nobody relies on what ``may`` says of it.
"""

from __future__ import annotations

from collections.abc import Callable

from cmaobs.crosscheck.chain import Order, arrange
from cmaobs.crosscheck.extents import Extents, Piece
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, Step
from cmaobs.crosscheck.marks import Marks
from cmaobs.model import Policy
from cmaobs.runs import bits, runs
from cmaobs.state import AreaFacts

Blame = Callable[[Step, int, int, str], None]  # step, pages, state they were in, rule or ""
_ALL = (ALLOCATED, DEFERRED, FREE)
_CHAIN = 4096  # steps on one page that are put in order together
_KEPT = 65536  # steps that wait for others to end
_EVER = 1 << 63  # ns


class Pages:
    """Knowledge of one area. blame is told of every step that cannot be."""

    def __init__(self, facts: AreaFacts, policy: Policy, blame: Blame) -> None:
        self.full = bits(0, facts.count)
        self.extents = Extents()
        self.budget = 4 * _CHAIN  # steps tried for one order
        self.overrun = 0
        self.now = 0
        self._merge = policy.merge
        self._blame = blame
        self._open: list[Step] = []
        self._busy = self._clash = 0
        self.marks = Marks()
        self._kept: list[tuple[Step, int]] = []
        self.forget()

    def forget(self) -> None:
        """Every page may be anything from now on."""
        self.may = [self.full, self.full, self.full]
        self.unknown = self.full
        self.marks.forget()
        self.taint = 0
        self.extents.clear()

        for step in self._open:
            step.flight.blind = True
        for step, _ in self._kept:
            step.flight.blind = True

    def distrust(self, pages: int) -> None:
        """Pages that diverged: anything goes there until a snapshot tells."""
        self.taint |= pages
        self._lose(pages)

    def _lose(self, pages: int) -> None:
        for state in _ALL:
            self.may[state] |= pages
        self.unknown |= pages
        for first, length in runs(pages):
            self.extents.remove(first, length, self.now)

    @property
    def open(self) -> tuple[Step, ...]:
        """Steps that have begun and not ended."""
        return tuple(self._open)

    @property
    def deferred(self) -> int:
        """Pages that are certainly on the list, those touched now aside."""
        return self.may[DEFERRED] & ~self.unknown

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The list. What is left of an extent that a step which waits has split may be anywhere."""
        waiting = {step.flight.origin for step, _ in self._kept if step.to == DEFERRED}
        return tuple(piece._replace(until=_EVER) if piece.origin in waiting else piece
                     for piece in self.extents)

    @property
    def quiet(self) -> bool:
        """Whether nothing is open or waits to be put in order."""
        return not self._open and not self._kept

    def begin(self, step: Step) -> None:
        """A step may take effect from now on."""
        self._clash |= self._busy & step.pages
        self._busy |= step.pages
        self.marks.begin(step)
        self._open.append(step)

    def end(self, step: Step) -> None:
        """A step has taken effect by now."""
        self._open.remove(step)
        busy = 0
        for other in self._open:
            busy |= other.pages
        self._busy = busy
        self.marks.end(step, self._open)
        if not step.pages:
            return
        if not step.pages & (busy | self._clash):
            self._place(step, step.pages)
            return
        free = step.pages & ~(busy | self._clash)
        if free:
            self._place(step, free)
        self._kept.append((step, step.pages & ~free))
        self._settle(step.pages & ~free & ~busy)
        if len(self._kept) > _KEPT:
            self._drop()

    def _drop(self) -> None:
        """Give up what waits: the steps that it waits for will not be judged either."""
        self.overrun += 1
        for step in self._open:
            step.flight.blind = True
        for _, pages in self._kept:
            self._lose(pages)
        self._kept.clear()

    def _place(self, step: Step, pages: int) -> None:
        if step.flight.blind:
            self._lose(pages)
            return
        if self.taint:
            pages &= ~self.taint
        bad = pages & ~self.may[step.frm]
        if bad:
            for state in _ALL:
                if part := bad & self.may[state]:
                    self._blame(step, part, state, "")
            self.distrust(bad)
            pages &= ~bad
        if (step.frm == DEFERRED and step.to == ALLOCATED and pages == step.pages
                and not pages & self.unknown):
            first, length = _only(pages)
            if self.extents.one(first, length, self._merge) is False:
                self._blame(step, pages, DEFERRED, "R5")
        self._move(pages, step.to)
        if step.frm == DEFERRED:
            for first, length in runs(pages):
                self.extents.remove(first, length, step.closes)
        elif step.to == DEFERRED:
            for first, length in runs(pages):
                self.extents.add(first, length,
                                 None if step.flight.vague else step.flight.origin,
                                 step.opens, step.closes)

    def _move(self, pages: int, to: int) -> None:
        for state in _ALL:
            if state == to:
                self.may[state] |= pages
            else:
                self.may[state] &= ~pages
        self.unknown &= ~pages

    def _settle(self, ready: int) -> None:
        """Put the kept steps of pages on which nothing is open any more in order."""
        if not ready:
            return
        alike = [(ready, list[Step]())]
        waiting = []
        for step, pages in self._kept:
            if pages & ~ready:
                waiting.append((step, pages & ~ready))
            if not pages & ready:
                continue
            split = []
            for part, steps in alike:
                if part & pages:
                    split.append((part & pages, [*steps, step]))
                if part & ~pages:
                    split.append((part & ~pages, steps))
            alike = split
        self._kept = waiting
        self._clash &= ~ready
        for part, steps in alike:
            if steps:
                self._order(part, steps)
                self._split(steps)

    def _split(self, steps: list[Step]) -> None:
        """Steps were put in order: what they left of the extents they made."""
        for step in steps:
            for first, length in runs(step.pages) if step.to == DEFERRED else ():
                if step.flight.vague:
                    self.extents.blur(first, length, step.flight.origin)
                self.extents.split(first, length, step.flight.origin, self.now)

    def _order(self, pages: int, steps: list[Step]) -> None:
        if any(step.flight.blind for step in steps):
            self._lose(pages)
            return
        pages &= ~self.taint
        groups: dict[tuple[int, ...], int] = {}
        known = pages & ~self.unknown
        for state in _ALL:
            if part := known & self.may[state]:
                groups[(state,)] = part
        rest = pages & self.unknown
        if rest:
            groups[_ALL] = rest
        for begins, part in groups.items():
            self._try(begins, part, steps)

    def _try(self, begins: tuple[int, ...], pages: int, steps: list[Step]) -> None:
        """Pages alike: same steps, same states that they may begin in."""
        found: list[Order] = []
        failed: list[Order] = []
        for state in begins:
            order = (arrange(steps, state, self.budget) if len(steps) <= _CHAIN
                     else Order(False, (), state, None, spent=True))
            if order.spent:
                self.overrun += 1
                self._lose(pages)
                return
            (found if order.lawful else failed).append(order)
        if not found:
            worst = max(failed, key=lambda order: len(order.steps))
            assert worst.stuck is not None
            self._blame(worst.stuck, pages, worst.state, "")
            self.distrust(pages)
            return
        self._lose(pages)
        if len({order.state for order in found}) > 1:
            return
        state = found[0].state
        self._move(pages, state)
        if state == DEFERRED:
            self._list(pages, steps, found[0])

    def _list(self, pages: int, steps: list[Step], order: Order) -> None:
        """The last release made the extent, where no other order makes another the last."""
        listing = [step for step in steps if step.to == DEFERRED]
        last = [step for step in order.steps if step.to == DEFERRED][-1]
        certain = all(s is last or s.hi < last.lo for s in listing)
        for step in () if certain else listing:
            step.flight.vague = True
        origin = None if last.flight.vague else last.flight.origin
        since = last.opens if certain else min(s.opens for s in listing)
        until = last.closes if certain else max(s.closes for s in listing)
        for first, length in runs(pages):
            self.extents.add(first, length, origin, since, until)


def _only(pages: int) -> tuple[int, int]:
    first = (pages & -pages).bit_length() - 1
    return first, pages.bit_length() - first
