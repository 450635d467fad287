# SPDX-License-Identifier: GPL-2.0
"""Many histories without a kernel: lawful ones, and ones with one mistake each.

    PYTHONPATH=.:tests python3 -m reference.soak [OPERATIONS] [FIRST SEED]

Every other history is lawful, in one of the ways of reference.ways or the usual one. Uses every
CPU; prints what was decided and caught. A lawful history that is called divergent, or an unlawful
one before its mistake was made, ends the run with status 1 and its seed.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from multiprocessing import Pool

from cmaobs.verdict import Outcome
from reference.load import run
from reference.mistakes import DEFECTS
from reference.ways import WAYS, Way

_CHUNK = 20  # histories
_RFC = Way("")


def lawful(seed: int) -> Counter[str]:
    """One history, with losses or a late start at times."""
    threads, lossy, late = (1, 2, 3, 4, 8)[seed % 5], seed % 7 == 0, seed % 11 == 0
    way = (*WAYS, "", "", "")[seed // 2 % (len(WAYS) + 3)]
    checker, _ = run(seed, threads, 60 + 60 * (seed % 3), chance=(0.0, 0.05, 0.3)[seed % 3],
                     lose=0.02 * lossy, late=late, rests=1 + seed % 3, raw=seed // 2 % 2 == 0,
                     ways=frozenset({way} - {""}), policy=WAYS.get(way, _RFC).policy)
    verdict = checker.verdict()
    if verdict.outcome is Outcome.DIVERGE:
        raise AssertionError(f"FALSE ALARM: lawful seed {seed}: {verdict.divergences[0]}")
    (coverage,) = verdict.coverage
    kind = "lossy" if lossy or late else "lawful"
    return Counter({f"{kind} histories": 1, f"{kind} operations": coverage.operations,
                    f"{kind} undecided": sum(coverage.undecided.values()),
                    f"{kind} {verdict.outcome.name.lower()}": 1})


def unlawful(seed: int) -> Counter[str]:
    """One history with one mistake."""
    defect = tuple(DEFECTS)[seed // 2 % len(DEFECTS)]
    threads = (1, 2, 4)[seed % 3]
    checker, kernel = run(seed, threads, 60 + 60 * (seed % 3), defects=frozenset({defect}),
                          rests=1 + seed % 5, raw=seed // 4 % 2 == 0)
    verdict = checker.verdict()
    made, caught = defect in kernel.fired, verdict.outcome is Outcome.DIVERGE
    if caught and not made:
        raise AssertionError(f"FALSE ALARM: {defect} seed {seed}: {verdict.divergences[0]}")
    (coverage,) = verdict.coverage
    found = Counter({"unlawful operations": coverage.operations})
    if made:
        found += Counter({f"{threads} threads, made": 1, f"{threads} threads, caught": caught,
                          f"missed {defect}": not caught})
    return found


def chunk(first: int) -> Counter[str]:
    """The histories of some seeds."""
    found: Counter[str] = Counter()
    for seed in range(first, first + _CHUNK):
        found.update(unlawful(seed) if seed % 2 else lawful(seed))
    return found


def chunks(first: int, operations: int) -> Iterator[Counter[str]]:
    """Until there were so many operations."""
    with Pool(os.cpu_count()) as pool:
        done = 0
        for found in pool.imap_unordered(chunk, islice(count(first, _CHUNK), 1 << 20)):
            yield found
            done += sum(n for name, n in found.items() if name.endswith("operations"))
            if done >= operations:
                return


def main() -> None:
    """Run, count and print."""
    given = [int(argument) for argument in sys.argv[1:]]
    operations, first = given + [2_000_000, 0][len(given):]
    total: Counter[str] = Counter()
    try:
        for found in chunks(first, operations):
            total.update(found)
    except AssertionError as alarm:
        sys.exit(str(alarm))
    for kind in ("lawful", "lossy"):
        print(f"{kind}: {total[f'{kind} histories']} histories, {total[f'{kind} operations']} "
              f"operations, {total[f'{kind} undecided']} undecided: "
              f"agree {total[f'{kind} agree']}, unknown {total[f'{kind} unknown']}, diverge 0")
    for threads in (1, 2, 4):
        made, caught = total[f"{threads} threads, made"], total[f"{threads} threads, caught"]
        print(f"one mistake, {threads} threads: {caught} of {made} histories caught")
    missed = [(n, name.removeprefix("missed ")) for name, n in total.items()
              if n and name.startswith("missed ")]
    print("missed: " + ", ".join(f"{name} {n}" for n, name in sorted(missed, reverse=True)))


if __name__ == "__main__":
    main()
