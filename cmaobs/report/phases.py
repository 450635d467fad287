# SPDX-License-Identifier: GPL-2.0
"""Where the time of an area's allocations went: data, and the lines drawn from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs import latency
from cmaobs.phases import Phased
from cmaobs.report.times import bounds, quantiles, seconds
from cmaobs.state import AreaFacts
from cmaobs.view import View

Data = Mapping[str, Any]


def spent(view: View, facts: AreaFacts) -> dict[str, Any]:
    """One area: {"phases": ..., "moved": ..., "slowest": ...} where they are asked for."""
    counts = view.counts(facts.name)
    if counts is None or not counts.phases:
        return {}
    return {"phases": {name: {**quantiles(one), "total_s": latency.total_s(one)}
                       for name, one in counts.phases.items() if one.count},
            "moved": dict(counts.moved),
            "slowest": [_slow(one) for one in view.slowest.get(facts.index, ())]}


def _slow(one: Phased) -> dict[str, Any]:
    comm = one.comm.rstrip(b"\0").decode("utf-8", "replace")
    return {"took_s": one.whole_ns / 1e9, "comm": comm, "pid": one.tgid,
            "phases": {name: ns / 1e9 for name, ns in one.phases.items()},
            "missed": bool(one.missed), "isolated": one.isolated, "migrated": one.migrated,
            "failed": one.failed, "reclaimed": one.reclaimed}


def lines(area: Data) -> Iterator[str]:
    """The phases of one area of a report, and its slowest allocation."""
    found = area.get("phases")
    if not found:
        return
    whole = sum(one["total_s"] for one in found.values())
    yield f"  {'phases':<24}{'count':>9}{'mean':>12}  {'p50':<18}{'p99':<18}of the time"
    for name, one in found.items():
        yield (f"    {name:<22}{one['count']:>9}{seconds(one['mean_s']):>12}  "
               f"{bounds(one['p50_s']):<18}{bounds(one['p99_s']):<18}"
               f"{one['total_s'] / whole:>6.1%}")
    moved = area["moved"]
    yield (f"    pages: {moved['isolated']} isolated, {moved['migrated']} migrated, "
           f"{moved['failed']} failed, {moved['reclaimed']} reclaimed"
           + (f"; of {moved['missed']} allocations an end was missed" if moved["missed"] else ""))
    for one in area["slowest"][:1]:
        parts = sorted(one["phases"].items(), key=lambda part: -part[1])
        yield (f"    slowest: {seconds(one['took_s'])}, {one['comm']}[{one['pid']}]: "
               + ", ".join(f"{name} {seconds(took)}" for name, took in parts))
