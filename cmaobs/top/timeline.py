# SPDX-License-Identifier: GPL-2.0
"""Frames in the order of time, thinned where they become too many."""

from __future__ import annotations

import bisect

from cmaobs.top.frame import Frame

KEPT = 512
_SLACK = 0.1  # of an interval: frames do not come to the millisecond


class Timeline:
    """The frames of a run. Once there are KEPT, every other is dropped, and from then on only every
    other is kept, and so on: a run of any length takes bounded memory, at a coarser grain. The
    latest is always there. added: frames so far.
    """

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._every = 1
        self._seen = 0
        self.added = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame) -> None:
        """The next frame; one that is not later than the last replaces it."""
        self.added += 1
        if self._frames and frame.wall_s <= self._frames[-1].wall_s:
            self._frames[-1] = frame
            return
        if (self._seen - 1) % self._every and len(self._frames) > 1:
            self._frames.pop()  # the last was only there because it was the latest
        self._seen += 1
        self._frames.append(frame)
        if len(self._frames) >= KEPT:
            self._frames = [*self._frames[:-1:2], self._frames[-1]]
            self._every *= 2

    @property
    def span(self) -> tuple[float, float]:
        """Times of the first and the last frame; raises IndexError without frames."""
        return self._frames[0].wall_s, self._frames[-1].wall_s

    def place(self, at_s: float | None) -> int:
        """The place of the last frame not after at_s, None being the latest; 0 before the first."""
        if at_s is None:
            return len(self._frames) - 1
        return max(0, bisect.bisect_right(self._frames, at_s, key=lambda one: one.wall_s) - 1)

    def at(self, place: int) -> Frame:
        """A frame by its place, limited to those that are there."""
        return self._frames[min(max(place, 0), len(self._frames) - 1)]

    def pair(self, at_s: float | None, interval_s: float) -> tuple[Frame, Frame | None]:
        """The frame shown at a time, and one that is about so much older; the next older at least.

        None where there is no older one. Raises IndexError without frames.
        """
        place = self.place(at_s)
        now = self.at(place)
        before = min(place - 1, self.place(now.wall_s - interval_s * (1 - _SLACK)))
        return now, self.at(before) if place > 0 else None
