# SPDX-License-Identifier: GPL-2.0
"""Report data: plain dicts, lists, numbers and strings, ready for JSON. Pure.

Keys end in their unit; a key that does not apply to the kernel observed is
absent. Quantiles are pairs: the true value lies from the first to the second, which
is null where the histogram has no upper limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cmaobs
from cmaobs import latency, policies
from cmaobs.events import NO_AREA, Kind, Operation, Path, Record
from cmaobs.metrics.kernel import FAILURES
from cmaobs.report import dmabufs, phases, where, who, why
from cmaobs.report.times import quantiles
from cmaobs.state import AreaCounts, AreaFacts, AreaState, Latency
from cmaobs.verdict import Coverage, Divergence, Known, Verdict
from cmaobs.view import View, allocated_pages, free_pages, largest_clear_run

Stacks = Mapping[int, tuple[str, ...]]

DEFERRING = ("alloc_hit", "release_deferred", "scan")


def summary(view: View) -> dict[str, Any]:
    """Everything that check, serve and replay report."""
    verdict = view.verdict
    coverage = {one.area: one for one in verdict.coverage} if verdict else {}
    return {
        "cmaobs": cmaobs.__version__,
        "identity": dict(view.identity),
        "verdict": None if verdict is None else _verdict(verdict, view.stacks),
        "areas": [_area(view, facts, coverage.get(facts.name)) for facts in view.areas],
        **dmabufs.held(view),
        "latency": _overall(view),
        "records": view.records,
        "unjudged_records": view.unjudged,
        "impossible_records": view.impossible,
        "first_impossible_record": view.first_impossible,
        "readings": view.readings,
        "losses": dict(view.reading.losses.counts) if view.reading else {},
        **_stacks(view),
        "counts_compared": {
            "readings": view.tallied.compared, "exact": view.tallied.exact,
            "mismatched": view.tallied.mismatched, "mismatches": list(view.tallied.mismatches)},
        "warnings": list(view.warnings),
        "failure": view.failure,
    }


def _stacks(view: View) -> dict[str, Any]:
    """How many there are, where the source takes stacks."""
    if view.reading is None or view.reading.stacks_failed is None:
        return {}
    return {"stacks": len(view.stacks), "stacks_failed": view.reading.stacks_failed}


def _overall(view: View) -> dict[str, Any]:
    """Latency of all areas together."""
    kinds: dict[str, list[Latency]] = {}
    for counts in view.reading.counts if view.reading else ():
        for kind, one in counts.latencies.items():
            if one.count and (view.patched or kind not in DEFERRING):
                kinds.setdefault(kind, []).append(one)
    return {kind: quantiles(latency.merge(ones)) for kind, ones in kinds.items()}


def snapshot(view: View) -> dict[str, Any]:
    """The areas as they are now, with every run and extent."""
    states = view.reading.states if view.reading else ()
    areas = []
    for state in states:
        area = {**_facts(state.facts), "fault": state.fault}
        if not state.fault:
            area |= _state(state) | {
                "at_rest": state.at_rest,
                "allocated_runs": [list(run) for run in state.allocated]}
            if state.extents is not None:
                area["extents"] = [list(extent) for extent in state.extents]
            area |= where.located(state)
            area |= who.held(view, state.facts)
        areas.append(area)
    return {"cmaobs": cmaobs.__version__, "identity": dict(view.identity), "areas": areas,
            **dmabufs.held(view)}


def _facts(facts: AreaFacts) -> dict[str, Any]:
    return {"name": facts.name, "base_pfn": facts.base_pfn, "pages": facts.count,
            "order_per_bit": facts.order_per_bit}


def _state(state: AreaState) -> dict[str, Any]:
    data: dict[str, Any] = {
        "allocated_pages": allocated_pages(state), "free_pages": free_pages(state),
        "largest_clear_run_pages": largest_clear_run(state)}
    if state.defer_count is not None:
        data["deferred_pages"] = state.defer_count
    if state.extents is not None:
        data["deferred_extents"] = len(state.extents)
    if state.batch is not None:
        data["batch"] = state.batch
    if state.policy is not None:
        data["policy"] = policies.name_of(state.policy)
    return data


def _area(view: View, facts: AreaFacts, coverage: Coverage | None) -> dict[str, Any]:
    data = _facts(facts)
    if coverage is not None:
        data |= {"operations": coverage.operations, "decided": coverage.decided,
                 "undecided": dict(coverage.undecided), "rests": coverage.rests,
                 "torn": coverage.torn, "longest_uncompared_s": coverage.longest_ns / 1e9,
                 "longest_uncompared_why": coverage.longest_why}
        if coverage.rests and view.reading is not None:
            data["last_rest_age_s"] = (view.reading.time_ns - coverage.last_rest_ns) / 1e9
    counts = view.counts(facts.name)
    if counts is not None:
        data |= _counts(counts, view.patched)
    state = view.state(facts.name)
    if state is not None:
        data |= _state(state)
    return data | phases.spent(view, facts) | why.failed(view, facts) | who.held(view, facts)


def _counts(counts: AreaCounts, patched: bool) -> dict[str, Any]:
    values = counts.counters
    hits, contig = values.get("allocs_hit", 0), values.get("allocs_contig", 0)
    data: dict[str, Any] = {
        "allocations": {"contig": contig, "failed": sum(values.get(m, 0) for m in FAILURES)},
        "failures": {m.removeprefix("allocs_").upper(): values[m]
                     for m in FAILURES if values.get(m)},
        "releases": {"direct": values.get("releases_direct", 0),
                     "rejected": values.get("releases_rejected", 0)},
        "latency": {kind: quantiles(one) for kind, one in counts.latencies.items()
                    if one.count and (patched or kind not in DEFERRING)},
    }
    if patched:
        data["allocations"] = {"hit": hits} | data["allocations"]
        data["releases"] = {"deferred": values.get("releases_deferred", 0)} | data["releases"]
        data |= {"hit_share": hits / (hits + contig) if hits + contig else None,
                 "misses": values.get("flushes", 0),
                 "flushed_pages": values.get("flushed_pages", 0),
                 "scans": values.get("scans", 0),
                 "scans_stopped": values.get("scans_stopped", 0),
                 "asked_pages": values.get("scan_pages_asked", 0),
                 "reclaimed_pages": values.get("scan_pages_returned", 0)}
    return data


def _verdict(verdict: Verdict, stacks: Stacks) -> dict[str, Any]:
    return {"outcome": verdict.outcome.name.lower(), "reasons": list(verdict.reasons),
            "divergences": [divergence(one, stacks) for one in verdict.divergences],
            "following": verdict.following,
            "by_rule": {rule: count for rule, count in verdict.by_rule.items() if count}}


def divergence(one: Divergence, stacks: Stacks) -> dict[str, Any]:
    """A divergence with the state around it and the operations that led there."""
    return {"rule": one.rule, "area": one.area, "at_ns": one.at_ns, "at_rest": one.at_rest,
            "pages": [list(run) for run in one.pages], "expected": one.expected,
            "observed": one.observed, "evidence": one.evidence,
            "operations": [operation(op, stacks) for op in one.operations],
            "before": _known(one.before), "after": _known(one.after)}


def _known(known: Known | None) -> dict[str, Any] | None:
    if known is None:
        return None
    return {"window": list(known.window), "totals": dict(known.totals),
            "defer_count": known.defer_count, "batch": known.batch,
            "allocated": [list(run) for run in known.allocated],
            "deferred": [list(run) for run in known.deferred],
            "free": [list(run) for run in known.free],
            "unknown": [list(run) for run in known.unknown],
            "extents": [list(extent) for extent in known.extents], "listed": known.listed}


def operation(one: Operation, stacks: Stacks) -> dict[str, Any]:
    """An operation with the calls inside it, and its stack where one was taken."""
    return {**_record(one.record), "stack": list(stacks.get(one.record.stack, ())),
            "calls": [_record(call) for call in one.calls]}


def _record(record: Record) -> dict[str, Any]:
    return {
        "kind": _name(Kind, record.kind), "path": _name(Path, record.path),
        "start_ns": record.start_ns, "end_ns": record.end_ns, "pfn": record.pfn,
        "count": record.count, "ret": record.ret, "defer_entry": record.defer_entry,
        "defer_exit": record.defer_exit, "free_pages": record.free_pages, "align": record.align,
        "batch": record.batch, "pid": record.tgid, "tid": record.tid,
        "cpu": record.cpu, "area": None if record.area == NO_AREA else record.area,
        "comm": record.comm.rstrip(b"\0").decode("utf-8", "replace")}


def _name(names: Iterable[Kind] | Iterable[Path], value: int) -> str:
    return next((name.name.lower() for name in names if name == value), str(value))
