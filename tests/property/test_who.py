# SPDX-License-Identifier: GPL-2.0
"""Holders against a page-by-page account, however the operations overlapped and were delivered."""

from __future__ import annotations

import random

from golden.samples import alloc, batch, release
from hypothesis import given, settings
from hypothesis import strategies as st

from cmaobs.events import Record
from cmaobs.state import AreaFacts, AreaState, Losses, Reading, Run
from cmaobs.who import Follower

AREA = AreaFacts(0, "reserved", 0x40000, 24, 0)


def _history(dice: random.Random, steps: int) -> tuple[list[Record], list[int]]:
    """Records in the order of return, and each page's owner at the end (0: nobody).

    Effects happen one after another, at even times; each operation lasts from a while before its
    effect to a while after. A release is called only after its allocation returned.
    """
    owner, since = [0] * AREA.count, [0] * AREA.count
    records = []
    for number in range(1, steps + 1):
        at_ns = 1000 + 20 * number
        first, pages = dice.randrange(AREA.count), dice.randint(1, 8)
        run = range(first, min(first + pages, AREA.count))
        start_ns, end_ns = at_ns - dice.randint(1, 300), at_ns + dice.randint(1, 300)
        owners = {owner[page] for page in run}
        if owners == {0}:
            records.append(alloc(start_ns, end_ns, AREA.base_pfn + first, len(run))._replace(
                tgid=number, comm=b"job"))
            for page in run:
                owner[page], since[page] = number, end_ns
        elif 0 not in owners and len(owners) == 1:
            start_ns = max(start_ns, since[first])
            if start_ns >= at_ns:  # its allocation has not returned yet
                continue
            records.append(release(start_ns, end_ns, AREA.base_pfn + first, len(run)))
            for page in run:
                owner[page] = 0
    return sorted(records, key=lambda one: one.end_ns), owner


def _reading(at_ns: int, owner: list[int]) -> Reading:
    runs: list[Run] = []
    for page, number in enumerate(owner):
        if number and runs and runs[-1][0] + runs[-1][1] == AREA.base_pfn + page:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        elif number:
            runs.append((AREA.base_pfn + page, 1))
    state = AreaState(AREA, at_ns, at_ns + 1, tuple(runs), None, None, None, None, None, 0, True)
    return Reading(at_ns + 2, 0.0, (), (state,), Losses({}))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 1 << 32), st.integers(1, 80))
def test_every_page_is_held_by_its_owner(seed: int, steps: int) -> None:
    dice = random.Random(seed)
    records, owner = _history(dice, steps)
    follower = Follower((AREA,))
    follower.read(_reading(10, [0] * AREA.count), 0)
    at = 0
    while at < len(records):  # delivered in batches, with what the watermark promises
        size = dice.randint(1, 10)
        part = records[at:at + size]
        at += size
        follower.add(batch(*part).data)
        watermark = min((one.start_ns for one in records[at:]), default=1 << 40)
        torn = _reading(watermark, [1] * AREA.count)
        state = torn.states[0]
        follower.read(Reading(watermark, 0.0, (), (
            AreaState(AREA, state.start_ns, state.end_ns, state.allocated, None, None, None, None,
                      None, 0, False),), Losses({})), watermark)
    assert follower.holders.exact == {0: False}
    for exact in (False, True):
        found = [0] * AREA.count
        for piece in follower.holders.pieces[0]:
            for pfn in range(piece.pfn, piece.pfn + piece.pages):
                assert not found[pfn - AREA.base_pfn], "held twice"
                found[pfn - AREA.base_pfn] = piece.caller.pid
        assert found == owner
        assert follower.holders.exact[0] == exact
        follower.read(_reading(1 << 41, owner), 1 << 40)
    granted = [one for one in records if one.path == 1]
    assert sum(one.allocations for one in follower.holders.callers.values()) == len(granted)
