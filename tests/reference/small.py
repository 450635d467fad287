# SPDX-License-Identifier: GPL-2.0
"""Small worlds: the checker against every order.

    PYTHONPATH=.:tests python3 -m reference.small [WORLDS] [FIRST SEED]

Histories come from the small kernel, many with a defect, and some with a
record tampered with or an interval widened.
"""

from __future__ import annotations

import sys
from collections import Counter
from random import Random

from cmaobs.crosscheck import Checker
from cmaobs.events import Operation
from cmaobs.model import State
from cmaobs.state import AreaState, Run
from reference.brute import TooMany, lawful
from reference.kernel import Kernel, Steps
from reference.load import QUICK, Crew, facts, records_of
from reference.mistakes import DEFECTS

World = tuple[AreaState, list[Operation], AreaState, AreaState]


def job(kernel: Kernel, tid: int, held: list[Run], random: Random) -> Steps:
    """An operation that fits a world of a few pages."""
    dice = random.random()
    if held and dice < 0.45:
        return kernel.release(tid, *held.pop())
    if dice < 0.8:
        return kernel.alloc(tid, random.choice((1, 1, 2, 2, 3, 4)), random.choice((0, 0, 1)), held)
    if dice < 0.9:
        return kernel.scan(tid, random.choice((0, 1, 2, 6)))
    if dice < 0.95:
        return kernel.count(tid)
    return kernel.set_batch(tid, random.choice((0, 1, 2)))


def world(seed: int) -> tuple[Kernel, World]:
    """A snapshot at rest, up to 6 operations of 3 threads, two snapshots at rest."""
    random = Random(seed)
    area = facts(random.choice((4, 5, 6)), 0, random.choice((0, 0x1001)))
    defect = frozenset({random.choice(list(DEFECTS))}) if random.random() < 0.6 else frozenset()
    kernel = Kernel(area, random, random.choice((0, 1, 1, 2)))
    kernel.chance = 0.03
    crew = Crew(kernel, random, 3)
    mine = crew.held[0]
    for _ in range(random.choice((0, 4, 8))):
        for _ in job(kernel, 0, mine, random):
            pass
    for run in mine[:]:
        crew.held[random.randrange(3)].append(run)
        mine.remove(run)
    kernel.defects = defect
    kernel.out.clear()
    first = kernel.snapshot()
    for _ in crew.steps(random.choice((2, 3, 4, 5, 6)), job):
        pass
    operations = kernel.out[:]
    if random.random() < 0.3 and operations:
        _tamper(operations, random)
    return kernel, (first, operations, kernel.snapshot(), kernel.snapshot())


def _tamper(operations: list[Operation], random: Random) -> None:
    i = random.randrange(len(operations))
    record, calls = operations[i]
    field = random.choice(("start_ns", "end_ns", "defer_entry", "defer_exit", "ret"))
    if field == "start_ns":
        record = record._replace(start_ns=max(1010, record.start_ns - random.randint(1, 99)))
        calls = tuple(call._replace(op_ns=record.start_ns) for call in calls)
    elif field == "end_ns":
        record = record._replace(end_ns=record.end_ns + random.randint(1, 99))
    elif field == "ret" and (record.kind not in (3, 4) or record.ret < 0):
        return
    else:
        record = record._replace(**{field: max(getattr(record, field) + random.choice((-1, 1)), 0)})
    operations[i] = Operation(record, calls)


def judge(made: World, raw: bool = False) -> Checker:
    """A checker that has seen a world. raw: records, where it takes them."""
    first, operations, *after = made
    checker = Checker([first.facts], limits=QUICK)
    checker.observe(first)
    for operation in sorted(operations, key=lambda op: op.record.end_ns):
        if not (raw and checker.feed(records_of(operation))):
            checker.push(operation)
    end = max([op.record.end_ns for op in operations], default=0)
    for i, state in enumerate(after):
        moved = AreaState(state.facts, max(state.start_ns, end + 3 * i + 1),
                          max(state.end_ns, end + 3 * i + 2), state.allocated, state.extents,
                          state.defer_count, state.batch, state.pages_succeeded,
                          state.pages_failed, state.begun, True)
        checker.observe(moved)
        checker.advance(moved.end_ns + 1)
    return checker


def begin(state: AreaState) -> State:
    """The model's state of a snapshot at rest, with granules of one page."""
    from cmaobs.model import Extent
    from cmaobs.runs import union
    held = union(state.allocated, state.facts.base_pfn)
    extents = state.extents or ()
    return State(state.facts, held, held, 0,
                 tuple(Extent(pfn, count, -i, -i) for i, (pfn, count) in enumerate(extents)),
                 state.batch or 0)


def compare(seed: int) -> str:
    """'lawful agree', 'faulty diverge', 'faulty agree', ... ; 'too many' where it is not known."""
    _, made = world(seed)
    try:
        truth = lawful(made[1], begin(made[0]), made[2])
    except TooMany:
        return "too many"
    return f"{'lawful' if truth else 'faulty'} {judge(made).verdict().outcome.name.lower()}"


def main() -> None:
    """Count and print."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    count: Counter[str] = Counter()
    for seed in range(first, first + worlds):
        result = compare(seed)
        count[result] += 1
        if result == "lawful diverge":
            print("UNSOUND: seed", seed)
    for result, n in sorted(count.items()):
        print(f"{result}: {n}")


if __name__ == "__main__":
    main()
