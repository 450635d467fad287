# SPDX-License-Identifier: GPL-2.0
"""Many policies over the same demand, on all processors, and which of them is best."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cmaobs.errors import HostError, UsageError
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures
from cmaobs.whatif.outcome import outcome
from cmaobs.whatif.rules import named

OBJECTIVES = ("p99", "hit-ratio", "withheld")
SEARCHED = ("rfc", "prefer-deferred", "flush-overlap", "oldest-first",
            "prefer-deferred+flush-overlap")
BATCHES = (16, 64, 256, 1024)
KEPT = (4, 16)  # a keep-N for each of these parts of the largest area


class Task(NamedTuple):
    """One outcome to be had."""

    policy: str
    batch: int


def tasks(policies: Sequence[str], batches: Sequence[int], demands: Sequence[Demand],
          search: bool) -> list[Task]:
    """plain first, to compare with; then each policy with each batch that fits the areas.

    Raises UsageError where a batch is larger than every area.
    """
    largest = max(demand.facts.count for demand in demands)
    if batches and min(batches) > largest:
        raise UsageError(f"batch {min(batches)} is more than the {largest} pages of the area",
                         "the kernel refuses a batch that no scan could reach; give a smaller one")
    chosen = list(policies)
    if search and not chosen:
        chosen = [*SEARCHED, *(f"keep-{largest // part}" for part in KEPT)]
    fit = [batch for batch in batches if batch <= largest]
    return [Task("plain", 0), *(Task(policy, batch) for policy in chosen if policy != "plain"
                                for batch in fit)]


_shared: tuple[Sequence[Demand], Figures] | None = None  # of the workers, which are forked


def _work(task: Task) -> dict[str, Any]:
    assert _shared is not None
    demands, figures = _shared
    return outcome(demands, named(task.policy), task.batch, figures)


def outcomes(wanted: Sequence[Task], demands: Sequence[Demand], figures: Figures,
             told: Callable[[float], None], workers: int | None = None) -> list[dict[str, Any]]:
    """In the order of the tasks, and the same whatever the number of workers is.

    told: the share that is done. workers: processes; 1: this one, None: one for each processor that
    may be used. Raises UsageError, and HostError where one of them was killed.
    """
    count = min(workers or len(os.sched_getaffinity(0)), len(wanted))
    if count > 1:
        return _in_parallel(wanted, demands, figures, told, count)
    found = []
    for task in wanted:
        found.append(outcome(demands, named(task.policy), task.batch, figures))
        told(len(found) / len(wanted))
    return found


def _in_parallel(wanted: Sequence[Task], demands: Sequence[Demand], figures: Figures,
                 told: Callable[[float], None], workers: int) -> list[dict[str, Any]]:
    global _shared  # noqa: PLW0603 - what is forked needs not be copied
    _shared = demands, figures
    found: dict[Task, dict[str, Any]] = {}
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("fork"))
    try:
        waiting = {pool.submit(_work, task): task for task in wanted}
        while waiting:
            done, _ = concurrent.futures.wait(
                waiting, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                found[waiting.pop(future)] = future.result()
            told(1 - len(waiting) / len(wanted))
    except concurrent.futures.process.BrokenProcessPool as error:
        raise HostError("a process that replays a policy was killed",
                        "most likely memory ran out: give fewer or shorter recordings") from error
    finally:
        pool.shutdown(cancel_futures=True)
        _shared = None
    return [found[task] for task in wanted]


def score(one: Mapping[str, Any], objective: str) -> float:
    """Less is better. A policy under which more fails is no better, whatever else it has."""
    value: float
    if objective == "hit-ratio":
        value = -(one["hit_ratio"] or {"value": 0.0})["value"]
    elif objective == "withheld":
        value = one["withheld_pages"]["mean"]
    else:
        value = one["latency"]["p99_s"]["value"] if one["latency"] else float("inf")
    failing: int = one["would_fail"] - one["would_succeed"]
    return value + failing * 1e9


def best(found: Sequence[Mapping[str, Any]], objective: str | None) -> Mapping[str, Any]:
    """The best but plain; of those that are as good as it within the uncertainty of p99, the first.

    withheld: the least withheld of those that hit nearly as often as the best does (within 1 %).
    """
    others = [one for one in found if one["policy"] != "plain"] or list(found)
    if objective is None:
        return others[0]
    if objective == "withheld":
        most = max((one["hit_ratio"] or {"value": 0.0})["value"] for one in others)
        others = [one for one in others
                  if (one["hit_ratio"] or {"value": 0.0})["value"] >= most - 0.01]
        return min(others, key=lambda one: score(one, "withheld"))
    winner = min(others, key=lambda one: score(one, objective))
    if objective == "p99" and winner["latency"]:
        bound = winner["latency"]["p99_s"]["high"]
        return next(one for one in others if one is winner or (
            one["latency"]["p99_s"]["value"] <= bound
            and (one["hit_ratio"] or {"value": 0})["value"] >= winner["hit_ratio"]["value"] - 0.01))
    return winner
