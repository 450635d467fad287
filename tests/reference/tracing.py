# SPDX-License-Identifier: GPL-2.0
"""Reads a Perfetto trace as its trace processor does, from Perfetto's own message definitions.

The trace processor itself is a binary that no package carries. What it does is told by
perfetto.dev/docs: packets are sorted by time, those of the same time keep their order; strings are
looked up in what the sequence interned before; a slice's end closes the track's innermost slice.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

EVENT = protos.TrackEvent
_CLEARED, _NEEDED = 1, 2


@dataclass
class Slice:
    """A slice or an instant, whose end is its start. parent: the slice around it."""

    name: str
    start_ns: int
    said: dict[str, object]
    parent: Slice | None = None
    end_ns: int = -1


@dataclass
class Track:
    """A described track and what is on it. counters: by time, in order. open: not ended yet."""

    uuid: int
    description: Any = field(default_factory=protos.TrackDescriptor)
    slices: list[Slice] = field(default_factory=list)
    counters: list[tuple[int, int]] = field(default_factory=list)
    open: list[Slice] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the user reads."""
        return self.description.name or self.description.thread.thread_name


@dataclass
class Trace:
    """All of it. attributes: the trace's metadata."""

    tracks: dict[int, Track]
    attributes: dict[str, str]
    system: Any
    wall_ns: dict[int, int]

    def named(self, *path: str) -> Track:
        """The track of that name, under the one before."""
        parent = 0
        for name in path:
            (found,) = [one for one in self.tracks.values() if one.name == name
                        and (not parent or one.description.parent_uuid == parent)]
            parent = found.uuid
        return found

    @property
    def threads(self) -> list[Track]:
        """Tracks of threads."""
        return [one for one in self.tracks.values() if one.description.HasField("thread")]


def read(data: bytes) -> Trace:
    """The trace; fails where a reader would drop something, or does not know a field."""
    parsed = protos.Trace.FromString(data)
    assert parsed.packet, "no packets"
    whole = parsed.ByteSize()
    parsed.DiscardUnknownFields()
    assert whole == parsed.ByteSize() == len(data), "fields that Perfetto does not know"
    trace = Trace({}, {}, None, {})
    interned: dict[str, dict[int, str]] = defaultdict(dict)
    events, valid, clock = [], False, 0
    for packet in parsed.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.sequence_flags & _CLEARED:
            interned.clear()
            valid = True
            clock = packet.trace_packet_defaults.timestamp_clock_id
        assert valid or not packet.sequence_flags & _NEEDED, "dropped: no incremental state"
        for kind, entries in packet.interned_data.ListFields():
            for entry in entries:
                text = entry.str.decode() if hasattr(entry, "str") else entry.name
                assert entry.iid not in interned[kind.name], "an iid with two meanings"
                interned[kind.name][entry.iid] = text
        _take(trace, packet)
        if packet.HasField("track_event"):
            assert clock == protos.BUILTIN_CLOCK_MONOTONIC
            events.append((packet.timestamp, _resolved(packet.track_event, interned)))
    for at_ns, (event, name, said) in sorted(events, key=lambda one: one[0]):
        _happen(trace.tracks[event.track_uuid], at_ns, event, name, said)
    return trace


def _take(trace: Trace, packet: Any) -> None:
    if packet.HasField("track_descriptor"):
        described = packet.track_descriptor
        track = trace.tracks.setdefault(described.uuid, Track(described.uuid))
        track.description.MergeFrom(described)
    if packet.HasField("system_info"):
        trace.system = packet.system_info.utsname
    for one in packet.trace_attributes.attribute:
        trace.attributes[one.key] = one.string_value
    clocks = {one.clock_id: one.timestamp for one in packet.clock_snapshot.clocks}
    if clocks:
        assert packet.clock_snapshot.primary_trace_clock == protos.BUILTIN_CLOCK_MONOTONIC
        trace.wall_ns[clocks[protos.BUILTIN_CLOCK_MONOTONIC]] = clocks[
            protos.BUILTIN_CLOCK_REALTIME]


def _resolved(event: Any, interned: dict[str, dict[int, str]]) -> tuple[Any, str, dict[str, Any]]:
    said = {}
    for one in event.debug_annotations:
        kind = one.WhichOneof("value")
        value = getattr(one, kind)
        if kind == "string_value_iid":
            value = interned["debug_annotation_string_values"][value]
        said[interned["debug_annotation_names"][one.name_iid]] = value
    for iid in event.category_iids:
        assert interned["event_categories"][iid] == "cma"
    return event, interned["event_names"][event.name_iid] if event.name_iid else "", said


def _happen(track: Track, at_ns: int, event: Any, name: str, said: dict[str, Any]) -> None:
    if event.type == EVENT.TYPE_COUNTER:
        assert track.description.HasField("counter")
        track.counters.append((at_ns, event.counter_value))
    elif event.type == EVENT.TYPE_SLICE_END:
        assert track.open, "an end without a begin"
        track.open.pop().end_ns = at_ns
    else:
        new = Slice(name, at_ns, said, track.open[-1] if track.open else None)
        track.slices.append(new)
        if event.type == EVENT.TYPE_INSTANT:
            new.end_ns = at_ns
        else:
            track.open.append(new)
