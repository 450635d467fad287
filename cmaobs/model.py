# SPDX-License-Identifier: GPL-2.0
"""The rules R1 to R12 of deferred freeing, as a pure function.

``step(policy, state, step)`` gives the next state, or the Fault that says
which rule forbids the step. One step is what takes effect at one instant, and
an operation is a few of them; cmaobs.steps has them all.

Some things that the rules leave open stay open here: which end of a split
extent a scan takes, and whether what is left of a split extent keeps its
place in the list or goes to its head.
"""

from __future__ import annotations

from dataclasses import replace

from cmaobs.choices import flushed, granules, holds, lowest, next_start, place
from cmaobs.runs import Run, bits, runs, union
from cmaobs.steps import (
    PLAIN,
    RFC,
    Contig,
    Count,
    Defer,
    Direct,
    Extent,
    Fault,
    Fetch,
    Flush,
    Give,
    Pick,
    Policy,
    Scan,
    SetBatch,
    State,
    Step,
    Unpick,
)

__all__ = [
    "EBUSY",
    "PLAIN",
    "RFC",
    "Contig",
    "Count",
    "Defer",
    "Direct",
    "Extent",
    "Fault",
    "Fetch",
    "Flush",
    "Give",
    "Pick",
    "Policy",
    "Scan",
    "SetBatch",
    "State",
    "Step",
    "Unpick",
    "granules",
    "lowest",
    "next_start",
    "step",
]

EBUSY = 16


def step(policy: Policy, state: State, made: Step) -> State | Fault:
    """The state after one step, or why the rules forbid it."""
    state = replace(state, time=state.time + 1)
    match made:
        case Pick():
            return _pick(policy, state, made)
        case Unpick(pfn, count):
            return replace(state, reserved=state.reserved & ~granules(state.facts, pfn, count))
        case Fetch(pfn, count, hit):
            return _fetch(policy, state, pfn, count, hit)
        case Flush():
            return _flush(policy, state, made)
        case Give(pfn, count):
            return _give(state, pfn, count)
        case Contig(pfn, count, ret):
            return _contig(state, pfn, count, ret)
        case Defer(pfn, count):
            return _defer(policy, state, pfn, count)
        case Direct(pfn, count):
            return _direct(state, pfn, count)
        case Count(returned):
            want = state.defer_count or None
            return state if returned == want else Fault("R8", f"{want}", f"{returned}")
        case Scan(asked, returned, taken):
            return _scan(policy, state, asked, returned, taken)
        case SetBatch(batch):
            return replace(state, batch=batch)


def _pages(state: State, pfn: int, count: int) -> int:
    return bits(pfn - state.facts.base_pfn, count)


def _pick(policy: Policy, state: State, made: Pick) -> State | Fault:
    facts = state.facts
    count, align, start, pfn = made
    if "R4" in policy.own and pfn is not None:
        at = (pfn - facts.base_pfn) >> facts.order_per_bit
        clear = granules(facts, pfn, count) & ~state.reserved
        found = lowest(facts, clear, count, align, start) if at >= start else None
    else:
        found = place(policy, state, count, align, start)
    want = None if found is None else facts.base_pfn + (found << facts.order_per_bit)
    if pfn != want:
        return Fault("R4", f"{want} picked", f"{pfn}")
    if pfn is None:
        return state
    return replace(state, reserved=state.reserved | granules(facts, pfn, count))


def _fetch(policy: Policy, state: State, pfn: int, count: int, hit: bool) -> State | Fault:
    held = holds(state.extents, pfn, count)
    could = held or (policy.merge and holds(_joined(state.extents), pfn, count))
    if (hit and not could) or (held and not hit):
        return Fault("R5", "a hit" if held else "a miss", "a hit" if hit else "a miss")
    if not hit:
        return state
    return replace(state, extents=_without(state, _pages(state, pfn, count)),
                   owned=state.owned | _pages(state, pfn, count))


def _joined(extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """What adjacent extents would make, were it not for R5."""
    joined: list[Extent] = []
    for e in sorted(extents):
        if joined and joined[-1].pfn + joined[-1].pages == e.pfn:
            joined[-1] = joined[-1]._replace(pages=joined[-1].pages + e.pages)
        else:
            joined.append(e)
    return tuple(joined)


def _without(state: State, gone: int) -> tuple[Extent, ...]:
    """The list after the pages of gone left it; what is left of a split extent stays."""
    base = state.facts.base_pfn
    left = []
    for e in state.extents:
        pages = bits(e.pfn - base, e.pages)
        if not pages & gone:
            left.append(e)
            continue
        left += [Extent(pfn, count, e.since, state.time)
                 for pfn, count in runs(pages & ~gone, base)]
    return tuple(left)


def _flush(policy: Policy, state: State, made: Flush) -> State | Fault:
    pages = union(made.taken, state.facts.base_pfn)
    if not all(count for _, count in made.taken):
        return Fault("R5", "no empty extent", "an extent of 0 pages")
    if "R6" in policy.own and made.run is not None:
        if pages & ~state.deferred or _pages(state, *made.run) & state.deferred & ~pages:
            return Fault("R12", "what the run overlaps off the list", f"{made.taken}")
    else:
        want = union(flushed(policy, state, made.run), state.facts.base_pfn)
        if pages != want:
            return Fault("R6", f"{want.bit_count()} pages off the list",
                         f"{pages.bit_count()} pages")
    return replace(state, extents=_without(state, pages), moving=state.moving | pages)


def _give(state: State, pfn: int, count: int) -> State | Fault:
    pages = _pages(state, pfn, count)
    if pages & ~state.moving:
        return Fault("R12", "pages that left the list", "pages that did not")
    return replace(state, moving=state.moving & ~pages)


def _contig(state: State, pfn: int, count: int, ret: int) -> State | Fault:
    pages = _pages(state, pfn, count)
    if ret:
        return state
    if pages & (state.owned | state.moving | state.deferred):
        return Fault("R12", "pages in the buddy", "pages elsewhere")
    return replace(state, owned=state.owned | pages)


def _defer(policy: Policy, state: State, pfn: int, count: int) -> State | Fault:
    pages = _pages(state, pfn, count)
    if policy.keep is not None and state.defer_count + count > policy.keep:
        return Fault("R2", f"{policy.keep} pages kept at most", f"{count} more deferred")
    if not state.batch or not policy.deferral:
        return Fault("R1", "free_contig_range() while batch is 0", "a deferred release")
    if pages & ~state.owned:
        return Fault("R12", "pages that a caller owns", "pages that none owns")
    extents = (Extent(pfn, count, state.time, state.time), *state.extents)
    return replace(state, owned=state.owned & ~pages, extents=extents if count else state.extents,
                   reserved=state.reserved & ~granules(state.facts, pfn, count))


def _direct(state: State, pfn: int, count: int) -> State | Fault:
    pages = _pages(state, pfn, count)
    if pages & ~state.owned:
        return Fault("R12", "pages that a caller owns", "pages that none owns")
    return replace(state, owned=state.owned & ~pages)


def _scan(policy: Policy, state: State, asked: int, returned: int | None,
          taken: tuple[Run, ...]) -> State | Fault:
    pages = union(taken, state.facts.base_pfn)
    total = sum(count for _, count in taken)
    want = None if asked < state.batch else min(asked, state.defer_count)
    if "R9" in policy.own:
        want = total if returned is not None else None
    if returned != want or total != (want or 0):
        return Fault("R9", f"{want} freed and returned", f"{total} freed, {returned} returned")
    if not all(count for _, count in taken):
        return Fault("R5", "no empty extent", "an extent of 0 pages")
    if total != pages.bit_count() or pages & ~state.deferred:
        return Fault("R12", "each page freed once, from the list", "others")
    if "R9" not in policy.own and not _from_head(policy, state, pages):
        return Fault("R9", "extents from the head, the last one split", "others")
    return replace(state, extents=_without(state, pages), moving=state.moving | pages)


def _from_head(policy: Policy, state: State, pages: int) -> bool:
    """R9: whole extents from the head of the list, and one end of the next."""
    base = state.facts.base_pfn
    parts = [(e, bits(e.pfn - base, e.pages)) for e in state.extents]
    partly = [(e, m) for e, m in parts if 0 < (m & pages).bit_count() < e.pages]
    spared = [e for e, m in parts if m & ~pages]
    touched = [e for e, m in parts if m & pages]
    if len(partly) > 1 or any(len(runs(m & ~pages)) > 1 or len(runs(m & pages)) > 1
                              for _, m in partly):
        return False
    if policy.oldest_first:
        spared, touched = touched, spared
    return not any(kept.since > gone.until for kept in spared for gone in touched)
