# SPDX-License-Identifier: GPL-2.0
"""One area on the fast lane, and off it where the lane is stuck.

The lane hands out its operations cluster by cluster: between two clusters
nothing is in flight, so that the state can change hands there. It gets the
state only where everything about the area is certain.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cmaobs.crosscheck.extents import Piece
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE
from cmaobs.events import Operation
from cmaobs.lane import Lane, Stretch
from cmaobs.lane import Piece as LanePiece
from cmaobs.runs import bits, union
from cmaobs.state import AreaState

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area

_AT_ONCE = 64  # operations that are handed over together
_WAIT_NS = 1_000_000_000  # for the end of what overlaps
_UNKNOWN = 4096  # that are judged between two readings while the area's state is not known
_TOO_MANY = "too many operations while the state was not known"
_NO_ORDER = "no order was found for the end of a long stretch in which operations overlap"


class Ride:
    """Moves an area's operations along."""

    def __init__(self, area: Area, lane: Lane) -> None:
        self.explained = 0  # operations that the lane found an order for
        self.crowded = 0  # of them, overlapping with others
        self._area, self._lane = area, lane
        policy = area.policy
        self._fits = not (area.facts.order_per_bit or policy.merge or policy.oldest_first)
        self._index = area.facts.index
        self._riding = False
        self._midway = False  # the lane's state is not one between two clusters
        self._watermark = 0
        self._glances: deque[AreaState] = deque()  # that the lane has

    @property
    def waiting(self) -> int:
        """Operations that nobody has looked at yet."""
        return self._lane.waiting(self._index)

    def recent(self) -> list[Operation]:
        """Operations that were explained last."""
        return self._lane.recent(self._index)

    def sweep(self, watermark: int) -> None:
        """Explain what ended before watermark, and have the rest judged.

        A cluster that stays open for long is not waited for any longer.
        """
        area, lane = self._area, self._lane
        self._watermark = watermark
        while self._close(watermark):
            stop = area.next_ns
            until = watermark if stop is None else min(stop, watermark)
            if not area.known and self._skip(until):
                continue
            known = self.waiting > 0 and (self._riding or self._board())
            done = lane.run(self._index, until, known)
            self._credit(done)
            if done.differs:
                self.alight()
            elif done.stuck:
                self._leave(done.stuck)
            elif stop is None or stop >= watermark:
                begun = lane.begun(self._index, max(watermark - _WAIT_NS, 0))
                if not begun or self._midway:
                    return
                self._hand_over(begun)
            elif begun := lane.begun(self._index, stop):
                self._leave(begun)
            else:
                self.alight()
                area.judge(stop + 1)

    def _leave(self, count: int) -> None:
        """The first operations have no order, or it cannot be waited for: have them judged.

        Not where others that overlap are explained: no state was between these and those.
        """
        if self._midway:
            self._drop(count, _NO_ORDER)
        else:
            self._hand_over(count)

    def _drop(self, count: int, reason: str) -> None:
        area = self._area
        area.operations += count
        area.ended += count
        area.undecided[reason] += count
        area.gap(reason, self._lane.drop(self._index, count))

    def _skip(self, until: int) -> bool:
        """Leave out what began before, where it is more than there is time for.

        It would be judged by the little that is known, and count as not decided all the same. An
        observer that is behind because there was too much would get further behind by it.
        """
        count = self._lane.begun(self._index, max(until - 1, 0))
        if count <= _UNKNOWN:
            return False
        self._drop(count, _TOO_MANY)
        return True

    def _close(self, watermark: int) -> bool:
        """Have judged what was handed over, with all that overlaps. False: some may come yet."""
        area = self._area
        while area.busy_until:
            self.alight()
            until = min(area.busy_until, max(watermark - 1, 0))
            if begun := self._lane.begun(self._index, until):
                # Whatever began before the next is here then: judged at once, it need not wait for
                # the end of a chain that may be as long as what comes between two readings.
                self._hand_over(begun)
                area.judge(min(until, self._lane.next_ns(self._index)))
            elif area.busy_until >= watermark:
                area.judge(watermark)
                return False
            else:
                until = area.busy_until
                area.judge(until + 1)
                if area.busy_until == until:
                    area.busy_until = 0
        return True

    def _hand_over(self, count: int) -> None:
        """The first of so many; _close() goes on with what overlaps."""
        self.alight()
        for operation in self._lane.take(self._index, min(count, _AT_ONCE)):
            self._area.add(operation, 0)

    def glance(self, state: AreaState) -> bool:
        """Have the lane compare a snapshot made in motion. False: it is not for the lane."""
        area = self._area
        taken = (area.next_ns is None and not area.busy_until and not len(area.doubts)
                 and state.start_ns > max(area.blind_until, area.now)
                 and (self._riding or self._board()) and self._lane.glance(state))
        if taken:
            self._glances.append(state)
        return taken

    def _credit(self, done: Stretch) -> None:
        area = self._area
        self.explained += done.explained
        self.crowded += done.crowded
        area.operations += done.explained
        area.ended += done.explained
        area.decided += done.explained
        area.unsure += done.explained
        area.granted += done.granted
        area.refused += done.refused
        area.now = area.pages.now = max(area.now, done.last_ns)
        self._midway = bool(done.midway)
        for _ in range(done.glanced):
            area.pace.compared(self._glances.popleft(), area.ended)

    def _board(self) -> bool:
        """Give the lane the state, if all of it is certain."""
        area, pages = self._area, self._area.pages
        held = pages.may[ALLOCATED]
        batch = area.batch.value if area.policy.deferral else 0
        certain = (self._fits and area.known and area.still and area.drift == 0
                   and batch is not None
                   and not area.policy.by_extent and not area.policy.own
                   and not (pages.unknown or pages.taint or area.twice or area.empty
                            or area.left_over)
                   and pages.marks.set == held and pages.marks.clear == pages.full & ~held)
        if not certain:
            return False
        pieces = [LanePiece(piece.first, piece.pages, i if piece.origin is not None else 0,
                            max(piece.since, 0), max(piece.until, 0))
                  for i, piece in enumerate(pages.extents, 1)]
        words = -(-area.facts.count // 64)
        assert batch is not None
        self._lane.load(self._index, held.to_bytes(words * 8, "little"), pieces, batch)
        self._riding = True
        return True

    def forget(self) -> None:
        """What the lane has of the state is of no use any more."""
        self._riding = self._midway = False
        self._lane.unglance(self._index)
        while self._glances:
            self._area.glance(self._glances.popleft())

    def alight(self) -> None:
        """Take the state back from the lane, and the snapshots that wait there."""
        if not self._riding:
            return
        if self._midway:
            self._area.gap(_NO_ORDER, self._watermark)
            return
        area, pages = self._area, self._area.pages
        held, pieces = self._lane.state(area.facts)
        listed = union((piece.first, piece.pages) for piece in pieces)
        pages.may[ALLOCATED], pages.may[DEFERRED] = held, listed
        pages.may[FREE] = pages.full & ~held & ~listed
        pages.marks.set = held
        pages.marks.clear = bits(0, area.facts.count) & ~held
        pages.extents.restore(Piece(p.first, p.pages, object() if p.ident else None,
                                    p.since, p.until) for p in pieces)
        self.forget()
