# SPDX-License-Identifier: GPL-2.0
"""Samples of who holds the pages and who asked for them, in a bounded number of series. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cmaobs.state import AreaFacts, Latency
from cmaobs.view import View
from cmaobs.who import BEFORE, MISSED, Holders
from cmaobs.who.book import Piece
from cmaobs.who.ledger import OTHER, Label, label

Sample = tuple[str, tuple[str, ...], float | Latency]

TOP = 20  # callers of an area that have gauges of their own
LONGER_S = (60, 600, 3600, 86400)


def samples(view: View) -> Iterator[Sample]:
    """cma_held_* and cma_caller_*; nothing where holders are not followed."""
    holders = view.holders
    if holders is None or view.reading is None:
        return
    names = {facts.index: facts.name for facts in view.areas}
    for facts in view.areas:
        yield from _held(facts, holders)
    for (index, who), counts in holders.series.items():
        labels = (names[index], *who)
        yield "cma_caller_allocs_total", labels, counts.allocations
        yield "cma_caller_alloc_pages_total", labels, counts.pages
        yield "cma_caller_alloc_failures_total", labels, counts.failed


def _held(facts: AreaFacts, holders: Holders) -> Iterator[Sample]:
    pieces = holders.pieces.get(facts.index, ())
    sums = {"seen": 0, "uncertain": 0, BEFORE.kind: 0, MISSED.kind: 0}
    longer = dict.fromkeys(LONGER_S, 0)
    by_label: dict[Label, list[Piece]] = {}
    for piece in pieces:
        sums[piece.caller.kind if piece.caller.unseen else
             "seen" if holders.certain(piece) else "uncertain"] += piece.pages
        for limit_s in LONGER_S:
            if holders.at_ns - piece.since_ns > limit_s * 1_000_000_000:
                longer[limit_s] += piece.pages
        if piece.caller.comm or not piece.caller.unseen:
            by_label.setdefault(label(piece.caller), []).append(piece)
    for allocation, pages in sums.items():
        yield "cma_held_pages", (facts.name, allocation), pages
    for limit_s, pages in longer.items():
        yield "cma_held_longer_pages", (facts.name, str(limit_s)), pages
    ranked = sorted(by_label.items(), key=lambda one: -sum(piece.pages for piece in one[1]))
    rest = [piece for _, theirs in ranked[TOP:] for piece in theirs]
    for who, theirs in (*ranked[:TOP], *([(OTHER, rest)] if rest else [])):
        labels = (facts.name, *who)
        yield "cma_caller_held_pages", labels, sum(piece.pages for piece in theirs)
        oldest = min(piece.since_ns for piece in theirs)
        yield "cma_caller_held_oldest_seconds", labels, max(holders.at_ns - oldest, 0) / 1e9
