# SPDX-License-Identifier: GPL-2.0
"""Whether steps on one page can be put in a lawful order.

A page is in one of three states, and each step leads from one given state to
another, so an order is lawful where each step begins in the state that the
one before it ended in. Steps whose intervals do not overlap keep their order.
Since all steps are used, the last state is the same in every lawful order.
"""

from __future__ import annotations

from typing import NamedTuple

from cmaobs.crosscheck.frame import Step


class Order(NamedTuple):
    """lawful: an order was found; steps: it, or the longest that could be begun.

    state: after steps. stuck: the first step that could not be placed.
    spent: the search ended before it was certain.
    """

    lawful: bool
    steps: tuple[Step, ...]
    state: int
    stuck: Step | None = None
    spent: bool = False


def arrange(steps: list[Step], state: int, budget: int) -> Order:
    """A lawful order of steps from state on; budget bounds the steps tried."""
    steps = sorted(steps, key=lambda s: (s.lo, s.hi))
    chosen: list[int] = []
    states = [state]
    best: list[int] = []
    left = (1 << len(steps)) - 1
    seen: set[tuple[int, int]] = set()
    levels = [_ready(steps, left, state)]
    while levels:
        if not left:
            return Order(True, tuple(steps[i] for i in chosen), states[-1])
        if not levels[-1]:
            if len(chosen) > len(best):
                best = chosen[:]
            levels.pop()
            if chosen:
                left |= 1 << chosen.pop()
                states.pop()
            continue
        i = levels[-1].pop()
        then = left & ~(1 << i), steps[i].to
        if then in seen:
            continue
        seen.add(then)
        if len(seen) > budget:
            return Order(False, (), state, None, spent=True)
        left, now = then
        chosen.append(i)
        states.append(now)
        levels.append(_ready(steps, left, now))
    stuck = min((s for i, s in enumerate(steps) if i not in set(best)), key=lambda s: s.hi)
    return Order(False, tuple(steps[i] for i in best), steps[best[-1]].to if best else state, stuck)


def _ready(steps: list[Step], left: int, state: int) -> list[int]:
    """Steps that may come next; the last in the list, which ends first, is tried first.

    None may come before a step that ends before it begins. steps are in order of
    lo, so those that begin too late for all that are left need no look.
    """
    bound: int | None = None
    near = []
    while left:
        lowest = left & -left
        at = lowest.bit_length() - 1
        step = steps[at]
        if bound is not None and step.lo > bound:
            break
        near.append(at)
        bound = step.hi if bound is None or step.hi < bound else bound
        left ^= lowest
    ready = [at for at in near
             if steps[at].frm == state and (bound is None or steps[at].lo <= bound)]
    ready.sort(key=lambda at: -steps[at].hi)
    return ready
