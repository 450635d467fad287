# SPDX-License-Identifier: GPL-2.0
"""The same as cmaobs.whatif.replay, by the compiled lane, for policies that have names.

An accelerator: what it does not take, and a machine without it, goes through the model.
"""

from __future__ import annotations

from array import array
from typing import Any

from cmaobs.events import Path
from cmaobs.lane import library
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.figures import Figures
from cmaobs.whatif.latency import PARTS, STRETCHES, Stretch
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import Rules, is_users
from cmaobs.whatif.varied import Drawn, drawn
from cmaobs.whatif.withheld import BINS

_NO_LIMIT = (1 << 64) - 1
_COLUMNS = ("times", "asks", "a", "b")
_COUNTS = ("assumed", "contig", "flushes", "scans", "scanned_pages", "stopped", "deferred",
           "direct", "unreleased")


def takes(demand: Demand, rules: Rules) -> bool:
    """Whether run() can be called."""
    return there() and not demand.facts.order_per_bit and not is_users(rules)


def there() -> bool:
    """Whether stretches() can be called."""
    return library.load()[1] is not None


def run(demand: Demand, rules: Rules, batch: int | None, chance: int) -> Result:
    """One replay. Raises MemoryError, and ValueError where events are of pages not the area's."""
    ffi, lib, _ = library.load()
    result = Result.of(demand)
    kept: list[Any] = []  # what the structs point to
    told = _demand(ffi, lib, demand, chance, kept)
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


def stretches(demand: Demand, result: Result, figures: Figures) -> list[Stretch]:
    """As in cmaobs.whatif.latency."""
    ffi, lib, _ = library.load()
    asks, kept = demand.asks, list[Any]()
    freeing = array("q", [value for row in sorted(asks.freeing.items()) for value in row])
    signed = {"pages": asks.pages, "durations": asks.durations, "extents": result.extents,
              "flushed": result.flushed, "freeing": freeing}
    plain = {"was": asks.paths, "path": result.paths, "idle": asks.idle}
    took = ffi.new("struct lane_took *", {
        "n": len(asks), "n_freeing": len(freeing) // 2, "extent_ns": figures.cost.extent_ns,
        "page_ns": figures.cost.page_ns, "stretches": STRETCHES, "parts": PARTS,
        **{name: _at(ffi, kept, "int64_t[]", values) for name, values in signed.items()},
        **{name: _at(ffi, kept, "uint8_t[]", values) for name, values in plain.items()}})
    out = ffi.new("struct lane_stretch[]", STRETCHES)
    lib.lane_stretches(took, out)
    return [_stretch(one) for one in out]


def _stretch(one: Any) -> Stretch:
    made = Stretch()
    for hit, path in enumerate((Path.HIT, Path.CONTIG)):
        made.own.update({(int(path), number): count
                         for number, count in enumerate(one.own[hit]) if count})
        for order, needs in enumerate(one.needs[hit]):
            for idle, count in enumerate(needs):
                if count:
                    group = int(path), order, bool(idle)
                    made.needs[group] = count
                    made.flush_ns[group] = one.flush_ns[hit][order][idle]
    return made


def _at(ffi: Any, kept: list[Any], kind: str, values: Any) -> Any:
    """A pointer to the values, which live as long as kept does."""
    kept.append(ffi.from_buffer(kind, values, require_writable=not isinstance(values, bytes)))
    return kept[-1]


def _demand(ffi: Any, lib: Any, demand: Demand, chance: int, kept: list[Any]) -> Any:
    columns = demand.events
    tries = array("q", [value for ask, calls in sorted(demand.asks.tries.items())
                        for pfn, ret in calls for value in (ask, pfn, ret)])
    reserved, extents = (array("Q", [value for run in runs for value in run])
                         for runs in (demand.reserved, demand.extents))
    signed = {**{name: getattr(columns, name) for name in _COLUMNS}, "got": demand.asks.pfns,
              "alone": demand.asks.alone, "tries": tries}
    told = ffi.new("struct lane_demand *", {
        "base": demand.facts.base_pfn, "pages": demand.facts.count,
        "start_ns": demand.start_ns, "end_ns": demand.end_ns, "n_events": len(columns),
        "kinds": _at(ffi, kept, "uint8_t[]", columns.kinds),
        "was": _at(ffi, kept, "uint8_t[]", demand.asks.paths),
        **{name: _at(ffi, kept, "int64_t[]", values) for name, values in signed.items()},
        "n_asks": len(demand.asks), "threads": demand.threads, "n_tries": len(tries) // 3,
        "n_reserved": len(demand.reserved),
        "reserved": _at(ffi, kept, "uint64_t[]", reserved),
        "extents": _at(ffi, kept, "uint64_t[]", extents)})
    if chance or demand.later:
        _vary(ffi, lib, demand, chance, told, kept)
    return told


def _vary(ffi: Any, lib: Any, demand: Demand, chance: int, told: Any, kept: list[Any]) -> None:
    """Other events in place of the demand's."""
    shifts, reached = drawn(demand, chance) if chance else Drawn({}, ())
    rows = {"shifts": list(shifts.items()), "reached": reached, "later": sorted(demand.later)}
    values = {name: array("q", [value for row in some for value in row])
              for name, some in rows.items()}
    how = ffi.new("struct lane_variation *", {
        "varied": bool(chance), "n_asks": len(demand.asks),
        "tids": _at(ffi, kept, "int64_t[]", demand.events.tids),
        **{f"n_{name}": len(some) for name, some in rows.items()},
        **{name: _at(ffi, kept, "int64_t[]", some) for name, some in values.items()}})
    room = len(demand.events) + len(reached) + len(demand.later)
    made = ffi.new("struct lane_events *", {
        "kinds": _at(ffi, kept, "uint8_t[]", bytearray(room)),
        **{name: _at(ffi, kept, "int64_t[]", array("q", bytes(8 * room))) for name in _COLUMNS}})
    if lib.lane_vary(told, how, made) < 0:
        raise MemoryError
    told.n_events = made.n
    for name in ("kinds", *_COLUMNS):
        setattr(told, name, getattr(made, name))
