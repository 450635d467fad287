# SPDX-License-Identifier: GPL-2.0
"""Divergences that are not certain yet, and those that are.

An operation whose record was lost, or one that was in flight when the observer attached, may
explain a divergence, and either is noticed only later. It is confirmed by a reading of the kernel
that comes without news of a loss once every operation that began before is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmaobs.crosscheck.doubt import HOLD_NS
from cmaobs.verdict import Divergence

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area

_MOST = 4096


@dataclass(slots=True)
class _Suspicion:
    area: int
    divergence: Divergence
    at_rest: bool
    episode: int
    certain: bool = False  # and waits for its root only


class Suspicions:
    """Of all areas, in the order in which they came up.

    confirmed: the roots, at most as many as limit. following: confirmed, but of an area that had
    not been learned again since a root. by_rule: all that were confirmed.
    """

    def __init__(self, areas: Mapping[int, Area], limit: int) -> None:
        self.confirmed: list[Divergence] = []
        self.following = 0
        self.by_rule: Counter[str] = Counter()
        self._areas, self._limit = areas, limit
        self._open: list[_Suspicion] = []
        self._told: dict[int, int] = {}  # area, and the episode of its last root

    def __len__(self) -> int:
        return len(self._open)

    @property
    def first(self) -> Divergence | None:
        """Of those that are not confirmed."""
        return self._open[0].divergence if self._open else None

    def add(self, area: int, divergence: Divergence, at_rest: bool) -> None:
        """at_rest: a snapshot at rest shows it."""
        episode = self._areas[area].episode
        self._open.append(_Suspicion(area, divergence, at_rest, episode))
        if len(self._open) > _MOST:
            del self._open[_MOST // 2:_MOST]

    def contradicts_a_snapshot(self, area: int, divergence: Divergence) -> bool:
        """Whether an earlier snapshot, not the history, is what this one contradicts."""
        return any(s.area == area and s.at_rest and s.divergence.at_ns < divergence.at_ns
                   and _meet(s.divergence, divergence) for s in self._open)

    def drop(self, area: int) -> None:
        """Something was not seen that may explain those of the area, but for certain ones."""
        self._open = [s for s in self._open if s.area != area or s.certain]

    def retell(self, told: Divergence, root: Divergence) -> None:
        """The same divergence, by its root."""
        for suspicion in self._open:
            if suspicion.divergence is told:
                suspicion.divergence = root

    def confirm(self, ended: bool = False) -> None:
        """Those that are older than a reading which came without news of a loss.

        ended: nothing more will come, so none waits for its root to be shown.
        """
        kept, waiting = [], set[int]()
        for s in self._open:
            area = self._areas[s.area]
            if s.divergence.at_ns >= (area.pace.last_rest_ns if s.at_rest else area.clean_ns):
                kept.append(s)
                continue
            if s.at_rest and area.clean_ns < s.divergence.at_ns:
                kept.append(s)
                continue
            if s.area in waiting or (s.divergence in area.doubts and not ended
                                     and area.clean_ns < s.divergence.at_ns + HOLD_NS):
                waiting.add(s.area)  # what follows is not told before its root
                s.certain = True
                kept.append(s)
                continue
            self.by_rule[s.divergence.rule] += 1
            if self._told.get(s.area) == s.episode:
                self.following += 1
                continue
            self._told[s.area] = s.episode
            if len(self.confirmed) < self._limit:
                self.confirmed.append(s.divergence)
        self._open = kept


def _meet(one: Divergence, other: Divergence) -> bool:
    if not one.pages or not other.pages:
        return not one.pages and not other.pages and one.rule == other.rule
    return any(a < c + d and c < a + b for a, b in one.pages for c, d in other.pages)
