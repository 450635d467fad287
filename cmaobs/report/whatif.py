# SPDX-License-Identifier: GPL-2.0
"""What whatif says: its data, and the recommendation in two sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmaobs.events import Path
from cmaobs.report.whatif_text import seconds
from cmaobs.whatif.demand import REACH, Demand
from cmaobs.whatif.figures import Figures
from cmaobs.whatif.latency import measured
from cmaobs.whatif.search import best

Data = Mapping[str, Any]
_FEW = 0.01  # of the asks: not worth a word


def report(demands: Sequence[Demand], found: Sequence[Data], figures: Figures,
           left_out: Mapping[str, int], objective: str | None) -> dict[str, Any]:
    """All that --json prints."""
    chosen = best(found, objective)
    told: list[str] = list(assumptions(demands, found, figures))
    return {
        "demand": [_demand(demand) for demand in demands],
        "left_out": dict(sorted(left_out.items())),
        "recorded": _recorded(demands),
        "objective": objective,
        "outcomes": list(found),
        "best": {"policy": chosen["policy"], "batch": chosen["batch"]},
        "recommendation": list(recommendation(found[0], chosen, demands)),
        "assumptions": told,
    }


def _demand(demand: Demand) -> dict[str, Any]:
    return {"recording": demand.source, "area": demand.facts.name, "pages": demand.facts.count,
            "patched": demand.patched, "seconds": (demand.end_ns - demand.start_ns) / 1e9,
            "allocations": demand.counted, "operations": demand.operations,
            "threads": demand.threads, "overlapping": demand.overlapping,
            "contig_calls": demand.contig, "contig_ebusy": demand.busy,
            "reclaim_counts": demand.events.kinds.count(REACH)}


def _recorded(demands: Sequence[Demand]) -> dict[str, Any]:
    paths: Counter[int] = Counter()
    for demand in demands:
        paths.update(demand.asks.paths)
    granted = paths[Path.HIT] + paths[Path.CONTIG]
    return {"hits": paths[Path.HIT], "contig": paths[Path.CONTIG], "failed": paths[Path.FAILED],
            "hit_ratio": paths[Path.HIT] / granted if granted else None,
            "latency": measured(demands)}


def assumptions(demands: Sequence[Demand], found: Sequence[Data],
                figures: Figures) -> Iterator[str]:
    """What was taken to be so, and how much of the answer rests on it."""
    yield ("every allocation comes at the time at which it was recorded, however long the one "
           "before takes under another policy")
    share = max(one["assumed_share"] for one in found)
    contig = sum(demand.contig for demand in demands)
    busy = sum(demand.busy for demand in demands)
    yield (f"the page allocator gives pages that it was not asked for in the recording: up to "
           f"{share:.1%} of the allocations rest on that; of {contig} recorded calls of "
           f"alloc_contig_range() {busy} returned -EBUSY")
    if any(demand.overlapping for demand in demands):
        overlapping = sum(demand.overlapping for demand in demands)
        operations = sum(demand.operations for demand in demands)
        yield (f"operations take effect one after the other: {overlapping / operations:.1%} "
               f"overlapped another one of their area")
    if not all(demand.patched for demand in demands):
        yield ("reclaim leaves deferred pages alone: a kernel without the shrinker does not show "
               "when it would have come, so pages withheld and hits are upper bounds")
    reached = sum(demand.events.kinds.count(REACH) for demand in demands)
    if reached:
        yield (f"reclaim comes to the shrinker as in the recording, where it asked {reached} "
               "times; the intervals hold how far that differs from run to run of a load in the "
               "device, whatever it does on this machine")
    drawn: Counter[str] = Counter()
    for one in found:
        drawn.update(one["durations"])
    total = sum(drawn.values())
    if drawn["shipped"] > _FEW * total:
        yield ("durations of paths that the recording does not have "
               f"({drawn['shipped'] / total:.1%} of all) are those of {figures.where}, whatever "
               "this machine is; the intervals do not cover that")
    if drawn["none"]:
        yield f"{drawn['none']} allocations have no measured duration and are in no latency"
    later = sum(len(demand.later) for demand in demands)
    if later:
        yield (f"{later} allocations failed in the recording; where one is granted, it is held as "
               "long as those of its size were on average")


def recommendation(plain: Data, chosen: Data, demands: Sequence[Demand]) -> tuple[str, str]:
    """Two sentences: what to do, and how sure that is."""
    if chosen is plain or not chosen["hit_ratio"] or not plain["latency"]:
        return ("There is nothing to compare: no allocation was granted, or no policy that "
                "defers was asked for.",
                "Record a time in which the device allocates from CMA.")
    ratio, mine, its = chosen["hit_ratio"], chosen["latency"], plain["latency"]
    named = f"{chosen['policy']} with batch {chosen['batch']}"
    spread = (f"{ratio['value']:.1%} of the allocations would be hits"
              f"{_range(ratio, '{:.1%}')}, p50 of cma_alloc {_both(its, mine, 'p50_s')} and p99 "
              f"{_both(its, mine, 'p99_s')}")
    p50, p99 = (_compare(its[name], mine[name]) for name in ("p50_s", "p99_s"))
    if p99 < 0 or (p99 == 0 and p50 < 0):
        advice = f"Do not defer ({named} is worse beyond the uncertainty)"
    elif p99 > 0:
        advice = f"Defer, by {named}"
    elif p50 > 0:
        advice = f"Defer, by {named}, for the usual allocation; for the slowest ones it is open"
    else:
        advice = f"Deferring by {named} makes no difference that stands out of the uncertainty"
    asks = sum(demand.counted for demand in demands)
    sure = ("beyond" if p50 or p99 else "within")
    return (f"{advice}: {spread}.",
            f"The difference is {sure} the 95 % intervals given, which rest on the {asks} "
            "allocations recorded; it cannot be known from them what the "
            f"{chosen['withheld_pages']['mean']:.0f} pages withheld on average would have been "
            "used for, nor whether the application would have asked at other times had it been "
            "served faster.")


def compared(plain: Data, one: Data) -> str:
    """gains, loses or open: p99, or else p50, against plain, beyond both intervals."""
    if not plain["latency"] or not one["latency"]:
        return "open"
    verdicts = [_compare(plain["latency"][name], one["latency"][name])
                for name in ("p99_s", "p50_s")]
    decided = next((verdict for verdict in verdicts if verdict), 0)
    return {1: "gains", 0: "open", -1: "loses"}[decided]


def _range(one: Data, form: str) -> str:
    if one["low"] == one["high"]:
        return ""
    return f" ({form.format(one['low'])} to {form.format(one['high'])})"


def _both(before: Data, after: Data, name: str) -> str:
    one = after[name]
    return (f"{seconds(one['value'])} ({seconds(one['low'])} to {seconds(one['high'])}) instead of "
            f"{seconds(before[name]['value'])}")


def _compare(before: Data, after: Data) -> int:
    """1: after is less beyond both intervals; -1: more; 0: neither."""
    if after["high"] < before["low"]:
        return 1
    return -1 if before["high"] < after["low"] else 0
