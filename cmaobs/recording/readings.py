# SPDX-License-Identifier: GPL-2.0
"""Identity and readings as JSON, and back from JSON that nobody vouches for. Pure.

Whatever is wrong with what is read raises ValueError with a phrase that names it.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from cmaobs import wire
from cmaobs.buffers import Buffer, Buffers, Use
from cmaobs.state import (
    AreaCounts,
    AreaFacts,
    AreaState,
    Latency,
    Losses,
    Owned,
    Placed,
    Reading,
    Run,
    Stayed,
)

_LIMIT = 1 << 64
_SLOTS = wire.constant("CMAOBS_SLOTS")
_FRAMES = wire.constant("CMAOBS_STACK_FRAMES")


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def load(data: bytes) -> Any:
    """The JSON object in data."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("JSON that is not an object")
    return value


def area_to_json(area: AreaFacts) -> dict[str, Any]:
    """Facts by field name; ranges only where there are several."""
    return {"index": area.index, "name": area.name, "base_pfn": area.base_pfn,
            "count": area.count, "order_per_bit": area.order_per_bit,
            **({"ranges": _runs_to_json(area.ranges)} if area.ranges else {})}


def area_from_json(value: Any) -> AreaFacts:
    """The reverse of area_to_json."""
    base, count = _int(value, "base_pfn"), _int(value, "count")
    ranges = _runs(_get(value, "ranges", list)) if "ranges" in value else ()
    if ranges and (len(ranges) < 2 or ranges[0][0] != base
                   or sum(pages for _, pages in ranges) != count
                   or any(one[0] + one[1] > other[0] for one, other
                          in itertools.pairwise(ranges))):
        raise ValueError("ranges: not ascending, or not the area's pages")
    return AreaFacts(_int(value, "index"), _str(value, "name"), base, count,
                     _int(value, "order_per_bit"), ranges)


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
        _int(value, "time_ns"), _float(value, "wall_s"),
        tuple(AreaCounts(_area(item, areas), _ints(_get(item, "counters", dict)),
                         _latencies(item, "latencies"),
                         _latencies(item, "phases") if "phases" in item else {},
                         _ints(_get(item, "moved", dict)) if "moved" in item else {})
              for item in _get(value, "counts", list)),
        tuple(_state(item, areas) for item in _get(value, "states", list)),
        Losses(_ints(_get(value, "losses", dict))), _stacks(value),
        _int(value, "stacks_failed") if "stacks_failed" in value else None,
        _buffers(_get(value, "buffers", dict)) if "buffers" in value else None,
        _owners(items(value, "owners")) if "owners" in value else (),
        tuple(map(_stayed, items(value, "stayed"))) if "stayed" in value else ())


def _stacks(value: Any) -> dict[int, tuple[str, ...]]:
    found: dict[str, Any] = _get(value, "stacks", dict) if "stacks" in value else {}
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
    return Owned(_int(value, "pfn"), _int(value, "pages"), _int(value, "since_ns"),
                 _int(value, "pid"), _str(value, "comm"), tuple(frames))


def _stayed(value: Any) -> Stayed:
    flags = _get(value, "flags", list, type(None))
    if flags is not None and not all(isinstance(flag, str) for flag in flags):
        raise ValueError("flags: one that is no name")
    return Stayed(_int(value, "pfn"), _int(value, "at_ns"),
                  None if flags is None else tuple(flags), _maybe(value, "mapped"),
                  _maybe(value, "references"), _str(value, "owner"))


def _buffers_to_json(buffers: Buffers) -> dict[str, Any]:
    return {"unreadable": buffers.unreadable, "listed": buffers.listed, "found": [
        {"ino": one.ino, "size": one.size, "exporter": one.exporter, "name": one.name,
         "uses": [use._asdict() for use in one.uses], "devices": list(one.devices),
         "references": one.references, "area": one.area, "run": _runs_to_json(
             (one.run,) if one.run else ()), "tie": one.tie} for one in buffers.found]}


def _buffers(value: Any) -> Buffers:
    return Buffers(tuple(map(_buffer, items(value, "found"))), _int(value, "unreadable"),
                   bool(_get(value, "listed", bool)))


def _buffer(value: Any) -> Buffer:
    runs = _runs(_get(value, "run", list))
    tie = _str(value, "tie")
    if tie not in ("pages", "exporter", "none") or len(runs) != (tie == "pages"):
        raise ValueError(f"buffers: tied by {tie[:20]!r} to {len(runs)} runs")
    uses = tuple(Use(_int(use, "pid"), _str(use, "comm"), _int(use, "fds"), _int(use, "maps"))
                 for use in items(value, "uses"))
    devices = items(value, "devices")
    if not all(isinstance(device, str) for device in devices):
        raise ValueError("devices: one that is no name")
    return Buffer(_int(value, "ino"), _int(value, "size"), _str(value, "exporter"),
                  _str(value, "name"), uses, tuple(devices), _maybe(value, "references"),
                  _str(value, "area"), runs[0] if runs else None, tie)  # type: ignore[arg-type]


def _state_to_json(state: AreaState) -> dict[str, Any]:
    return {
        "area": state.facts.index, "start_ns": state.start_ns, "end_ns": state.end_ns,
        "allocated": _runs_to_json(state.allocated),
        "extents": None if state.extents is None else _runs_to_json(state.extents),
        "defer_count": state.defer_count, "batch": state.batch,
        "pages_succeeded": state.pages_succeeded, "pages_failed": state.pages_failed,
        "begun": state.begun, "at_rest": state.at_rest, "fault": state.fault,
        **({} if state.shrinker_batch is None else {"shrinker_batch": state.shrinker_batch}),
        **({} if state.placed is None else {"placed": {
            "lent": _runs_to_json(state.placed.lent),
            "elsewhere": _runs_to_json(state.placed.elsewhere), "fault": state.placed.fault}}),
    }


def _state(value: Any, areas: Mapping[int, AreaFacts]) -> AreaState:
    extents = _get(value, "extents", list, type(None))
    at_rest = _get(value, "at_rest", bool)
    return AreaState(
        _area(value, areas), _int(value, "start_ns"), _int(value, "end_ns"),
        _runs(_get(value, "allocated", list)), None if extents is None else _runs(extents),
        _maybe(value, "defer_count"), _maybe(value, "batch"), _maybe(value, "pages_succeeded"),
        _maybe(value, "pages_failed"), _int(value, "begun"), at_rest, _str(value, "fault"),
        _int(value, "shrinker_batch") if "shrinker_batch" in value else None,
        _placed(_get(value, "placed", dict)) if "placed" in value else None)


def _placed(value: Any) -> Placed:
    return Placed(_runs(_get(value, "lent", list)), _runs(_get(value, "elsewhere", list)),
                  _str(value, "fault"))


def _runs_to_json(runs: Iterable[Run]) -> list[int]:
    return [number for run in runs for number in run]


def _runs(numbers: list[Any]) -> tuple[Run, ...]:
    if len(numbers) % 2:
        raise ValueError("runs: an odd number of numbers")
    checked = [_number(number, "runs") for number in numbers]
    return tuple(zip(checked[::2], checked[1::2], strict=True))


def _latencies_to_json(latencies: Mapping[str, Latency]) -> dict[str, Any]:
    return {name: {"sum_ns": latency.sum_ns,
                   "slots": {str(i): n for i, n in enumerate(latency.slots) if n}}
            for name, latency in latencies.items()}


def _latencies(value: Any, key: str) -> dict[str, Latency]:
    return {name: _latency(latency) for name, latency in _get(value, key, dict).items()}


def _latency(value: Any) -> Latency:
    slots = [0] * _SLOTS
    for key, hits in _ints(_get(value, "slots", dict)).items():
        if not key.isdecimal() or len(key) > 3 or int(key) >= _SLOTS:
            raise ValueError(f"slots: {key[:20]!r} is no slot")
        slots[int(key)] = hits
    return Latency(_int(value, "sum_ns"), tuple(slots))


def _area(value: Any, areas: Mapping[int, AreaFacts]) -> AreaFacts:
    index = _int(value, "area")
    if index not in areas:
        raise ValueError(f"area {index} is not among the areas")
    return areas[index]


def _get(value: Any, key: str, *types: type) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{key}: looked for in something that is not an object")
    if key not in value:
        raise ValueError(f"{key}: missing")
    if not isinstance(value[key], types):
        raise ValueError(f"{key}: {type(value[key]).__name__}, not {types[0].__name__}")
    return value[key]


def _number(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
        raise ValueError(f"{key}: not a number from 0 to 2^64")
    return value


def _int(value: Any, key: str) -> int:
    return _number(_get(value, key, int), key)


def _maybe(value: Any, key: str) -> int | None:
    return None if _get(value, key, int, type(None)) is None else _int(value, key)


def _float(value: Any, key: str) -> float:
    number = float(_get(value, key, float, int))
    if not math.isfinite(number):
        raise ValueError(f"{key}: not a finite number")
    return number


def _str(value: Any, key: str) -> str:
    text = _get(value, key, str)
    assert isinstance(text, str)
    return text


def _ints(value: dict[str, Any]) -> dict[str, int]:
    return {key: _number(number, key) for key, number in value.items()}


def strings(value: Any, key: str) -> dict[str, str]:
    """The object under key, whose values are strings."""
    found: dict[str, Any] = _get(value, key, dict)
    return {name: _str(found, name) for name in found}


def items(value: Any, key: str) -> list[Any]:
    """The list under key."""
    found = _get(value, key, list)
    assert isinstance(found, list)
    return found
