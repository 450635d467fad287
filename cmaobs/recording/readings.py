# SPDX-License-Identifier: GPL-2.0
"""Areas and readings as JSON, and back; what is wrong with JSON raises ValueError. Pure.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from typing import Any

from cmaobs import wire
from cmaobs.buffers import Buffer, Buffers, Use
from cmaobs.recording.values import (
    get,
    integer,
    integers,
    items,
    maybe,
    real,
    runs_from_json,
    runs_to_json,
    string,
)
from cmaobs.state import (
    AreaCounts,
    AreaFacts,
    AreaState,
    Latency,
    Losses,
    Owned,
    Placed,
    Reading,
    Stayed,
)

_SLOTS = wire.constant("CMAOBS_SLOTS")
_FRAMES = wire.constant("CMAOBS_STACK_FRAMES")


def area_to_json(area: AreaFacts) -> dict[str, Any]:
    """Facts by field name; ranges only where there are several."""
    return {"index": area.index, "name": area.name, "base_pfn": area.base_pfn,
            "count": area.count, "order_per_bit": area.order_per_bit,
            **({"ranges": runs_to_json(area.ranges)} if area.ranges else {})}


def area_from_json(value: Any) -> AreaFacts:
    """The reverse of area_to_json."""
    base, count = integer(value, "base_pfn"), integer(value, "count")
    ranges = runs_from_json(get(value, "ranges", list)) if "ranges" in value else ()
    if ranges and (len(ranges) < 2 or ranges[0][0] != base
                   or sum(pages for _, pages in ranges) != count
                   or any(one[0] + one[1] > other[0] for one, other
                          in itertools.pairwise(ranges))):
        raise ValueError("ranges: not ascending, or not the area's pages")
    return AreaFacts(integer(value, "index"), string(value, "name"), base, count,
                     integer(value, "order_per_bit"), ranges)


def reading_to_json(reading: Reading) -> dict[str, Any]:
    """A reading; areas stand as their index, slots and counters without their zeros."""
    stacks = {"stacks": {str(number): list(frames) for number, frames in reading.stacks.items()}}
    failed = {"stacks_failed": reading.stacks_failed}
    return {
        **(stacks if reading.stacks else {}),
        **(failed if reading.stacks_failed is not None else {}),
        **({"owners": [one._asdict() for one in reading.owners]} if reading.owners else {}),
        **({"stayed": [one._asdict() for one in reading.stayed]} if reading.stayed else {}),
        **({} if reading.buffers is None else {"buffers": _buffers_to_json(reading.buffers)}),
        "time_ns": reading.time_ns,
        "wall_s": reading.wall_s,
        "losses": dict(reading.losses.counts),
        "counts": [{
            "area": counts.facts.index,
            "counters": dict(counts.counters),
            "latencies": _latencies_to_json(counts.latencies),
            **({"phases": _latencies_to_json(counts.phases), "moved": dict(counts.moved)}
               if counts.phases else {}),
        } for counts in reading.counts],
        "states": [_state_to_json(state) for state in reading.states],
    }


def reading_from_json(value: Any, areas: Mapping[int, AreaFacts]) -> Reading:
    """The reverse of reading_to_json; areas by index."""
    return Reading(
        integer(value, "time_ns"), real(value, "wall_s"),
        tuple(AreaCounts(_area(item, areas), integers(get(item, "counters", dict)),
                         _latencies(item, "latencies"),
                         _phases(item) if "phases" in item else {},
                         integers(get(item, "moved", dict)) if "moved" in item else {})
              for item in get(value, "counts", list)),
        tuple(_state(item, areas) for item in get(value, "states", list)),
        Losses(integers(get(value, "losses", dict))), _stacks(value),
        integer(value, "stacks_failed") if "stacks_failed" in value else None,
        _buffers(get(value, "buffers", dict)) if "buffers" in value else None,
        _owners(items(value, "owners")) if "owners" in value else (),
        tuple(map(_stayed, items(value, "stayed"))) if "stayed" in value else ())


def _stacks(value: Any) -> dict[int, tuple[str, ...]]:
    found: dict[str, Any] = get(value, "stacks", dict) if "stacks" in value else {}
    stacks = {}
    for key, frames in found.items():
        if not key.isdecimal() or len(key) > 9 or not isinstance(frames, list):
            raise ValueError(f"stacks: {key[:20]!r} is no stack")
        if len(frames) > _FRAMES or not all(isinstance(frame, str) for frame in frames):
            raise ValueError(f"stacks: {key[:20]} has frames that cannot be")
        stacks[int(key)] = tuple(map(sys.intern, frames))
    return stacks


def _owners(value: list[Any]) -> tuple[Owned, ...]:
    owners = tuple(map(_owned, value))
    if any(one.pfn + one.pages > other.pfn for one, other in itertools.pairwise(owners)):
        raise ValueError("owners: not ascending, or of the same pages")
    return owners


def _owned(value: Any) -> Owned:
    frames = items(value, "frames")
    if not all(isinstance(frame, str) for frame in frames):
        raise ValueError("frames: one that is no name")
    return Owned(integer(value, "pfn"), integer(value, "pages"), integer(value, "since_ns"),
                 integer(value, "pid"), string(value, "comm"), tuple(frames))


def _stayed(value: Any) -> Stayed:
    flags = get(value, "flags", list, type(None))
    if flags is not None and not all(isinstance(flag, str) for flag in flags):
        raise ValueError("flags: one that is no name")
    return Stayed(integer(value, "pfn"), integer(value, "at_ns"),
                  None if flags is None else tuple(flags), maybe(value, "mapped"),
                  maybe(value, "references"), string(value, "owner"))


def _buffers_to_json(buffers: Buffers) -> dict[str, Any]:
    return {"unreadable": buffers.unreadable, "listed": buffers.listed, "found": [
        {"ino": one.ino, "size": one.size, "exporter": one.exporter, "name": one.name,
         "uses": [use._asdict() for use in one.uses], "devices": list(one.devices),
         "references": one.references, "area": one.area, "run": runs_to_json(
             (one.run,) if one.run else ()), "tie": one.tie} for one in buffers.found]}


def _buffers(value: Any) -> Buffers:
    return Buffers(tuple(map(_buffer, items(value, "found"))), integer(value, "unreadable"),
                   bool(get(value, "listed", bool)))


def _buffer(value: Any) -> Buffer:
    runs = runs_from_json(get(value, "run", list))
    tie = string(value, "tie")
    if tie not in ("pages", "exporter", "none") or len(runs) != (tie == "pages"):
        raise ValueError(f"buffers: tied by {tie[:20]!r} to {len(runs)} runs")
    uses = tuple(Use(integer(use, "pid"), string(use, "comm"), integer(use, "fds"),
                     integer(use, "maps")) for use in items(value, "uses"))
    devices = items(value, "devices")
    if not all(isinstance(device, str) for device in devices):
        raise ValueError("devices: one that is no name")
    return Buffer(integer(value, "ino"), integer(value, "size"), string(value, "exporter"),
                  string(value, "name"), uses, tuple(devices), maybe(value, "references"),
                  string(value, "area"), runs[0] if runs else None, tie)  # type: ignore[arg-type]


def _state_to_json(state: AreaState) -> dict[str, Any]:
    return {
        "area": state.facts.index, "start_ns": state.start_ns, "end_ns": state.end_ns,
        "allocated": runs_to_json(state.allocated),
        "extents": None if state.extents is None else runs_to_json(state.extents),
        "defer_count": state.defer_count, "batch": state.batch,
        "pages_succeeded": state.pages_succeeded, "pages_failed": state.pages_failed,
        "begun": state.begun, "at_rest": state.at_rest, "fault": state.fault,
        **({} if state.shrinker_batch is None else {"shrinker_batch": state.shrinker_batch}),
        **({} if state.policy is None else {"policy": state.policy}),
        **({} if state.placed is None else {"placed": {
            "lent": runs_to_json(state.placed.lent),
            "elsewhere": runs_to_json(state.placed.elsewhere), "fault": state.placed.fault}}),
    }


def _state(value: Any, areas: Mapping[int, AreaFacts]) -> AreaState:
    extents = get(value, "extents", list, type(None))
    at_rest = get(value, "at_rest", bool)
    return AreaState(
        _area(value, areas), integer(value, "start_ns"), integer(value, "end_ns"),
        runs_from_json(get(value, "allocated", list)),
        None if extents is None else runs_from_json(extents),
        maybe(value, "defer_count"), maybe(value, "batch"), maybe(value, "pages_succeeded"),
        maybe(value, "pages_failed"), integer(value, "begun"), at_rest, string(value, "fault"),
        integer(value, "shrinker_batch") if "shrinker_batch" in value else None,
        _placed(get(value, "placed", dict)) if "placed" in value else None,
        integer(value, "policy") if "policy" in value else None)


def _placed(value: Any) -> Placed:
    return Placed(runs_from_json(get(value, "lent", list)),
                  runs_from_json(get(value, "elsewhere", list)), string(value, "fault"))


def _latencies_to_json(latencies: Mapping[str, Latency]) -> dict[str, Any]:
    return {name: {"sum_ns": latency.sum_ns,
                   "slots": {str(i): n for i, n in enumerate(latency.slots) if n}}
            for name, latency in latencies.items()}


def _latencies(value: Any, key: str) -> dict[str, Latency]:
    return {name: _latency(latency) for name, latency in get(value, key, dict).items()}


def _phases(value: Any) -> dict[str, Latency]:
    """Recordings made before that was settled have "rest" for what is unexplained."""
    return {"unexplained" if name == "rest" else name: latency
            for name, latency in _latencies(value, "phases").items()}


def _latency(value: Any) -> Latency:
    slots = [0] * _SLOTS
    for key, hits in integers(get(value, "slots", dict)).items():
        if not key.isdecimal() or len(key) > 3 or int(key) >= _SLOTS:
            raise ValueError(f"slots: {key[:20]!r} is no slot")
        slots[int(key)] = hits
    return Latency(integer(value, "sum_ns"), tuple(slots))


def _area(value: Any, areas: Mapping[int, AreaFacts]) -> AreaFacts:
    index = integer(value, "area")
    if index not in areas:
        raise ValueError(f"area {index} is not among the areas")
    return areas[index]
