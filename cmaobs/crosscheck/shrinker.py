# SPDX-License-Identifier: GPL-2.0
"""What a scan or a change of batch did, against what may and must have been listed.

Each check is a necessary condition, as in cmaobs/crosscheck/rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmaobs.crosscheck import rules
from cmaobs.crosscheck.extents import Piece
from cmaobs.crosscheck.rules import Found, View
from cmaobs.events import SHRINK_STOP
from cmaobs.runs import bits, runs


def scan(view: View, pieces: Sequence[Piece]) -> Iterator[Found]:
    """R9: how much was freed, from where, and the return value.

    pieces: the list as it was when the scan began.
    """
    record, frame = view.record, view.frame
    calls = list(frame.flight.operation.calls)
    total = sum(call.count for call in calls)
    if record.ret == SHRINK_STOP:
        if total:
            yield "R9", 0, "nothing freed with SHRINK_STOP", f"{total} pages freed"
        elif frame.batches and max(frame.batches) <= record.count:
            yield "R9", 0, f"min({record.count}, defer_count) freed", "SHRINK_STOP"
        return
    if record.ret != total:
        yield "R9", 0, f"{total} returned: as many pages were freed", f"{record.ret}"
    if frame.batches and min(frame.batches) > record.count:
        yield "R9", 0, f"SHRINK_STOP for {record.count} pages", f"{record.ret} returned"
        return
    low, high = rules.listed(view)
    if total > record.count or not min(record.count, low) <= total <= min(record.count, high):
        yield ("R9", 0, f"min({record.count}, {low}" + (f" to {high}" if high > low else "")
               + ") pages freed", f"{total} pages freed")
    elif total < record.count and (left := view.must & ~rules.freed(view.facts, calls)):
        yield "R9", left, "all deferred pages freed", f"{left.bit_count()} left out"
    elif total < record.count and not view.policy.merge:
        yield from taken(view, pieces)


def taken(view: View, pieces: Sequence[Piece]) -> Iterator[Found]:
    """Extents from the head, the last one split at one end, as far as others left them alone."""
    gone = rules.freed(view.facts, list(view.frame.flight.operation.calls))
    oldest_gone = newest_kept = None
    partly = 0
    for piece in pieces:
        pages = bits(piece.first, piece.pages)
        if piece.origin is None or pages & ~view.must:
            continue
        if pages & gone and pages & ~gone:
            partly += 1
            if len(runs(pages & gone)) > 1 or len(runs(pages & ~gone)) > 1:
                yield "R9", pages, "one end of an extent freed", "another part of it"
                return
        if view.policy.oldest_first:
            since, until = -piece.until, -piece.since
        else:
            since, until = piece.since, piece.until
        if pages & gone and (oldest_gone is None or until < oldest_gone):
            oldest_gone = until
        if pages & ~gone and (newest_kept is None or since > newest_kept):
            newest_kept = since
    if partly > 1:
        yield "R9", gone, "one extent split", f"{partly} split"
    elif oldest_gone is not None and newest_kept is not None and newest_kept > oldest_gone:
        which = "oldest" if view.policy.oldest_first else "newest"
        yield "R9", gone, f"extents freed from the {which} on", "another one freed"


def batch(view: View) -> Iterator[Found]:
    """batch = 0 gives back every extent; another value none."""
    record = view.record
    calls = list(view.frame.flight.operation.calls)
    if record.ret or record.count:
        if calls:
            yield "R6", 0, "nothing freed by this change of batch", f"{len(calls)} ranges freed"
    elif view.policy.flush_at_zero and (left := view.must & ~rules.freed(view.facts, calls)):
        yield ("R6", left, f"all {view.must.bit_count()} deferred pages freed by batch = 0",
               f"{left.bit_count()} left out")
