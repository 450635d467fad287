# SPDX-License-Identifier: GPL-2.0
"""Each defect of the small kernel against the checker: caught how often, by which rule.

    PYTHONPATH=.:tests python3 -m reference.defects [HISTORIES]

prints the table of docs/checking.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import NamedTuple

from cmaobs.model import RFC
from cmaobs.verdict import Outcome
from reference.load import run
from reference.mistakes import DEFECTS, OF_DEFERRED_FIRST
from reference.ways import WAYS


class Caught(NamedTuple):
    """Histories in which the defect took effect, those caught, and the first rule named."""

    made: int
    caught: int
    rules: Counter[str]


def hunt(defect: str, threads: int, histories: int, first: int = 0) -> Caught:
    """Run random histories with one defect."""
    made = caught = 0
    rules: Counter[str] = Counter()
    way = "deferred-first" if defect in OF_DEFERRED_FIRST else None
    for seed in range(first, first + histories):
        checker, kernel = run(seed, threads, defects=frozenset({defect}),
                              policy=WAYS[way].policy if way else RFC,
                              ways=frozenset({way} if way else ()))
        made += defect in kernel.fired
        verdict = checker.verdict()
        if verdict.outcome is Outcome.DIVERGE:
            assert defect in kernel.fired, f"{defect}: false alarm with seed {seed}"
            caught += 1
            rules[min(verdict.divergences, key=lambda d: d.at_ns).rule] += 1
    return Caught(made, caught, rules)


def _cell(result: Caught) -> str:
    share = result.caught / result.made if result.made else 0
    rules = ", ".join(f"{rule} {n}" for rule, n in result.rules.most_common())
    return f"{result.caught} of {result.made} ({share:.0%}) | {rules}"


def main() -> None:
    """Print the table."""
    histories = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("| defect | what the kernel does | 1 thread | first rule | 4 threads | first rule |")
    print("|---|---|---|---|---|---|")
    for defect, what in (DEFECTS | OF_DEFERRED_FIRST).items():
        alone, many = hunt(defect, 1, histories), hunt(defect, 4, histories)
        print(f"| {defect} | {what} | {_cell(alone)} | {_cell(many)} |", flush=True)


if __name__ == "__main__":
    main()
