# SPDX-License-Identifier: GPL-2.0
"""What the page is drawn from, ready for JSON: view.json. Pure.

Numbers are the samples of /metrics under the same names, made by the same code from the same View;
what /metrics does not have is beside them: the areas page by page, holders one by one, reasons,
divergences and the latest failures. Every list has a limit, whatever the kernel holds.
"""

from __future__ import annotations

from typing import Any

import cmaobs
from cmaobs import latency, metrics
from cmaobs.metrics.table import BY_NAME
from cmaobs.page.cells import STATES, cells
from cmaobs.report import who
from cmaobs.state import AreaFacts, Latency
from cmaobs.verdict import Verdict
from cmaobs.view import View
from cmaobs.why import CAUSES, Failure, page_told

FORMAT = 1
LINES = 16
HOLDERS = 12
_EDGES_S = [latency.lower_edge_ns(slot) / 1e9 for slot in range(latency.SLOTS)]


def data(view: View, areas: list[dict[str, Any]], health: str) -> dict[str, Any]:
    """Everything; areas: of areas(), which is apart because it takes longest.

    time_s: of the latest reading, null before the first. edges_s: the shortest duration of each
    slot; the last slot has no upper limit. samples: by metric, label values in the order of the
    metric's labels and the value; of a histogram its sum in s, and the slots that are not 0.
    """
    samples: dict[str, list[list[Any]]] = {}
    for name, labels, value in metrics.samples(view):
        samples.setdefault(name, []).append([list(labels), _value(value)])
    return {
        "format": FORMAT, "cmaobs": cmaobs.__version__, "health": health, "failure": view.failure,
        "time_s": view.reading.wall_s if view.reading else None,
        "identity": dict(view.identity), "patched": view.patched,
        "states": list(STATES), "edges_s": _EDGES_S, "samples": samples,
        "labels": {name: list(BY_NAME[name].labels) for name in samples}, "areas": areas,
        "verdict": None if view.verdict is None else _verdict(view.verdict),
        "causes": dict(CAUSES), "failures": [_failure(one) for one in view.failures],
        "warnings": list(view.warnings[:LINES])}


def areas(view: View) -> list[dict[str, Any]]:
    """Each area with its map and its holders; without them where it could not be read."""
    return [_area(view, facts) for facts in view.areas]


def _value(value: float | Latency) -> Any:
    if not isinstance(value, Latency):
        return value
    return {"sum_s": latency.total_s(value),
            "slots": [[slot, hits] for slot, hits in enumerate(value.slots) if hits]}


def _area(view: View, facts: AreaFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"name": facts.name, "base_pfn": facts.base_pfn, "pages": facts.count,
                             "order_per_bit": facts.order_per_bit, "fault": "", "map": None,
                             "holders": None}
    states = view.reading.states if view.reading else ()
    state = next((one for one in states if one.facts == facts), None)
    if state is not None:
        found["fault"] = state.fault
        if not state.fault:
            found["map"] = {**cells(state), "at_rest": state.at_rest}
    held = who.held(view, facts).get("holders")
    if held is not None:
        found["holders"] = _holders(held)
    return found


def _failure(one: Failure) -> dict[str, Any]:
    return {**one.data(), "pages_told": [page_told(busy.data()) for busy in one.busy]}


def _holders(held: dict[str, Any]) -> dict[str, Any]:
    """Those that hold most; rest: how many more there are and what they hold together."""
    rows = who.merged(held["callers"])
    return {"exact": held["exact"], "pages": held["pages"],
            "rows": [{"who": who.name(row), **{key: row[key] for key in (
                "held_pages", "held_runs", "oldest_s", "allocations", "failed")}}
                for row in rows[:HOLDERS]],
            "rest": {"callers": len(rows[HOLDERS:]),
                     "held_pages": sum(row["held_pages"] for row in rows[HOLDERS:])}}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Divergences are roots, oldest first; divergence/<place>.json tells the one at that place."""
    return {"outcome": verdict.outcome.name.lower(), "reasons": list(verdict.reasons[:LINES]),
            "reasons_more": len(verdict.reasons[LINES:]),
            "divergences": [{"rule": one.rule, "area": one.area, "at_ns": one.at_ns,
                             "line": str(one)} for one in verdict.divergences[:LINES]],
            "following": verdict.following}
