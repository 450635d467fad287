# SPDX-License-Identifier: GPL-2.0
"""Operations checked per second: pairs of a hit and a deferred release.

    PYTHONPATH=.:tests python3 -m reference.speed [PAIRS] [PAGES] [THREADS]
"""

from __future__ import annotations

import sys
import time

from cmaobs.crosscheck import Checker, Limits
from cmaobs.events import Kind, Operation, Path, Record
from cmaobs.state import AreaFacts, AreaState


def pairs(number: int, threads: int, size: int = 64) -> list[Operation]:
    """Each thread takes and releases its own run; with several, operations overlap."""
    made = []
    record = Record(0, 0, 0, 0, size, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"x")
    listed, now = threads * size, 1000
    for _ in range(number):
        for tid in range(threads):
            pfn = 0x1000 + tid * size
            made.append(Operation(record._replace(
                start_ns=now, end_ns=now + 90 * threads, pfn=pfn, tid=tid, kind=Kind.ALLOC,
                path=Path.HIT, defer_entry=listed - tid * size,
                defer_exit=listed - tid * size - size)))
            now += 100
        now += 100 * threads
        for tid in range(threads):
            pfn = 0x1000 + tid * size
            made.append(Operation(record._replace(
                start_ns=now, end_ns=now + 90 * threads, pfn=pfn, tid=tid, kind=Kind.RELEASE,
                path=Path.DEFERRED, ret=1, defer_entry=tid * size,
                defer_exit=tid * size + size)))
            now += 100
        now += 100 * threads
    return made


def main() -> None:
    """Measure and print."""
    given = [int(argument) for argument in sys.argv[1:]]
    number, pages, threads = given + [20000, 16384, 1][len(given):]
    area = AreaFacts(0, "speed", 0x1000, pages, 0)
    made = pairs(number // threads, threads)
    checker = Checker([area], limits=Limits(settle_ns=0))
    extents = tuple((0x1000 + i * 64, 64) for i in reversed(range(threads)))
    state = AreaState(area, 1, 2, (), extents, 64 * threads, 1, None, None, 0, True)
    checker.observe(state)
    checker.advance(3)
    began = time.process_time()
    for at in range(0, len(made), 500):
        batch = made[at:at + 500]
        for operation in batch:
            checker.push(operation)
        checker.advance(batch[-1].record.start_ns)
    checker.advance(made[-1].record.end_ns + 1)
    took = time.process_time() - began
    end = made[-1].record.end_ns
    for i in (10, 20):
        checker.observe(AreaState(area, end + i, end + i + 1, (), extents, 64 * threads, 1, None,
                                  None, 0, True))
        checker.advance(end + i + 5)
    verdict = checker.verdict()
    print(f"{len(made)} operations, {pages} pages, {threads} threads: {len(made) / took:.0f}/s, "
          f"{verdict.outcome.name}", *verdict.reasons, *verdict.divergences)


if __name__ == "__main__":
    main()
