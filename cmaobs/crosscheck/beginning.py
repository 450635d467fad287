# SPDX-License-Identifier: GPL-2.0
"""What is noted when a frame begins: what was known then, for the checks at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmaobs.crosscheck.frame import DEFERRED, Frame, Look
from cmaobs.events import Kind

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area


def note(area: Area, frame: Frame, others: list[Frame]) -> None:
    """others: frames that are open."""
    pages, flight = area.pages, frame.flight
    if frame.opens <= area.blind_until:
        flight.blind = True
    frame.maybe = pages.may[DEFERRED]
    frame.deferred = pages.deferred
    frame.clear, frame.set = pages.marks.clear, pages.marks.set
    frame.others.add(*pages.open)
    frame.busy = frame.others.pages
    call = frame.call
    if call is not None and len(pages.extents):
        frame.one = pages.extents.one(call.pfn - area.facts.base_pfn, call.count,
                                      area.policy.merge)
    if (frame.look is Look.TAKE or (frame.whole and flight.operation.record.kind == Kind.SCAN)
            or (frame.look is Look.SEARCH and area.policy.by_extent)):
        frame.pieces = pages.pieces
    if frame.whole:
        area.batch.begin(frame, others)
        frame.listed = pages.extents.noted
        for other in others:
            if other.whole:
                other.alone = frame.alone = False
