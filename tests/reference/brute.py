# SPDX-License-Identifier: GPL-2.0
"""Every order of a small history: is there one that the model allows?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cmaobs.events import Operation
from cmaobs.model import RFC, Fault, Policy, State, granules
from cmaobs.state import AreaState
from reference.micro import Contradiction, Timed, micro, take


class TooMany(Exception):
    """The search was given up."""


def lawful(operations: Sequence[Operation], first: State, last: AreaState,
           policy: Policy = RFC, budget: int = 200_000, ordered: bool = True) -> bool:
    """Whether some order leads from the first state to the last snapshot, lawfully.

    ordered: to its list in its order, not just to the same extents.
    """
    try:
        threads = [micro(op, first.facts) for op in operations]
    except Contradiction:
        return False
    every = [timed for steps in threads for timed in steps]
    assert all(timed.lo <= timed.hi for timed in every)
    seen: set[object] = set()
    stack = [(first, (0,) * len(threads), 0)]
    while stack:
        state, at, now = stack.pop()
        if all(i == len(steps) for i, steps in zip(at, threads, strict=True)):
            if _ends(state, last, ordered):
                return True
            continue
        bound = min(_until(steps, i) for i, steps in zip(at, threads, strict=True)
                    if i < len(steps))
        for t, steps in enumerate(threads):
            if at[t] == len(steps):
                continue
            timed = steps[at[t]]
            then = max(now, timed.lo)
            if then > bound:
                continue
            result = take(policy, state, timed.step)
            if isinstance(result, Fault):
                continue
            after = (*at[:t], at[t] + 1, *at[t + 1:])
            key = (after, then, replace(result, time=0))
            if key not in seen:
                seen.add(key)
                stack.append((result, after, then))
                if len(seen) > budget:
                    raise TooMany
    return False


def _until(steps: list[Timed], i: int) -> int:
    return min(timed.hi for timed in steps[i:])


def _ends(state: State, last: AreaState, ordered: bool) -> bool:
    held = 0
    for pfn, count in last.allocated:
        held |= granules(state.facts, pfn, count)
    known = {(e.pfn, e.pages): e for e in state.extents}
    if (state.reserved != held or state.defer_count != last.defer_count
            or sorted(known) != sorted(last.extents or ())):
        return False
    listed = [known[run] for run in last.extents or ()]
    return not ordered or not any(
        older.since > newer.until for i, newer in enumerate(listed) for older in listed[i + 1:])
