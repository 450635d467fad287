# SPDX-License-Identifier: GPL-2.0
"""The same as cmaobs.whatif.replay, by the compiled lane, for policies that have names.

An accelerator: what it does not take, and a machine without it, goes through the model.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from cmaobs.lane import library
from cmaobs.whatif.demand import Demand, Event
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules, is_users
from cmaobs.whatif.varied import events_of
from cmaobs.whatif.withheld import BINS

_NO_LIMIT = (1 << 64) - 1
_COUNTS = ("assumed", "contig", "flushes", "scans", "scanned_pages", "stopped", "deferred",
           "direct", "unreleased")


def takes(demand: Demand, rules: Rules) -> bool:
    """Whether run() can be called."""
    return (library.load()[1] is not None and not demand.facts.order_per_bit
            and not is_users(rules))


def run(demand: Demand, rules: Rules, batch: int | None, chance: int) -> Result:
    """One replay. Raises MemoryError, and ValueError where events are of pages not the area's."""
    ffi, lib, _ = library.load()
    result = Result.of(demand)
    kept: list[Any] = []  # what the structs point to
    told = _demand(ffi, demand, chance, kept)
    policy = rules.policy
    listed = batch is None and policy.deferral
    told.n_extents = len(demand.extents) if listed else 0
    asked = ffi.new("struct lane_policy *", {
        "batch": demand.batch if batch is None else batch,
        "keep": _NO_LIMIT if policy.keep is None else policy.keep, "deferral": policy.deferral,
        "prefer_deferred": policy.prefer_deferred, "flush_overlap": policy.flush_overlap,
        "oldest_first": policy.oldest_first, "as_recorded": batch is None, "chance": chance,
        "contig": demand.contig, "busy": demand.busy})
    held = result.withheld
    out = ffi.new("struct lane_replayed *", {
        "paths": _at(ffi, kept, "uint8_t[]", result.paths), "bins": BINS,
        **{name: _at(ffi, kept, "int64_t[]", getattr(result, name))
           for name in ("pfns", "flushed", "extents")},
        **{name: _at(ffi, kept, "uint64_t[]", getattr(held, name))
           for name in ("sums", "most", "clear", "longest")}})
    status = lib.lane_replay(told, asked, out)
    if status < 0:
        raise MemoryError
    if status:
        raise ValueError("events of pages that are not the area's")
    for name in _COUNTS:
        setattr(result, name, int(getattr(out, name)))
    held.peak = int(out.peak)
    return result


def _at(ffi: Any, kept: list[Any], kind: str, values: Any) -> Any:
    """A pointer to the values, which live as long as kept does."""
    kept.append(ffi.from_buffer(kind, values, require_writable=not isinstance(values, bytes)))
    return kept[-1]


def _demand(ffi: Any, demand: Demand, chance: int, kept: list[Any]) -> Any:
    columns = demand.events
    if chance or demand.later:
        times, kinds, asks, a, b = _columns(events_of(demand, chance))
    else:
        times, kinds, asks = columns.times, columns.kinds, columns.asks
        a, b = columns.a, columns.b
    tries = array("q", [value for ask, calls in sorted(demand.asks.tries.items())
                        for pfn, ret in calls for value in (ask, pfn, ret)])
    reserved, extents = (array("Q", [value for run in runs for value in run])
                         for runs in (demand.reserved, demand.extents))
    signed = {"times": times, "asks": asks, "a": a, "b": b, "got": demand.asks.pfns,
              "tries": tries}
    return ffi.new("struct lane_demand *", {
        "base": demand.facts.base_pfn, "pages": demand.facts.count,
        "start_ns": demand.start_ns, "end_ns": demand.end_ns, "n_events": len(kinds),
        "kinds": _at(ffi, kept, "uint8_t[]", kinds),
        "was": _at(ffi, kept, "uint8_t[]", demand.asks.paths),
        **{name: _at(ffi, kept, "int64_t[]", values) for name, values in signed.items()},
        "n_tries": len(tries) // 3, "n_reserved": len(demand.reserved),
        "reserved": _at(ffi, kept, "uint64_t[]", reserved),
        "extents": _at(ffi, kept, "uint64_t[]", extents)})


def _columns(events: Iterable[Event]) -> tuple[Any, ...]:
    rows = list(events)
    times, kinds, asks, a, b = zip(*rows, strict=True) if rows else ((),) * 5
    return array("q", times), bytearray(kinds), array("q", asks), array("q", a), array("q", b)
