# SPDX-License-Identifier: GPL-2.0
"""One sequence of packets: frames them and interns their strings. Pure.

A string is written once, with the packet that first uses it, and has a number from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cmaobs.export.packets import (
    CLEARED,
    MONOTONIC,
    NEEDED,
    ClockSnapshot,
    DebugAnnotation,
    EventName,
    InternedData,
    InternedString,
    Trace,
    TracePacket,
    TracePacketDefaults,
    TrackEvent,
    Type,
)
from cmaobs.export.protobuf import message, number, text, varint

_SEQUENCE = number(TracePacket.TRUSTED_PACKET_SEQUENCE_ID, 1)
_NEEDS = _SEQUENCE + number(TracePacket.SEQUENCE_FLAGS, NEEDED)
_ANNOTATIONS = 1 << 14  # kept as they were encoded: most come again
_TIMESTAMP = varint(TracePacket.TIMESTAMP << 3)

HEAD = message(
    Trace.PACKET, _SEQUENCE, number(TracePacket.SEQUENCE_FLAGS, CLEARED),
    message(TracePacket.TRACE_PACKET_DEFAULTS,
            number(TracePacketDefaults.TIMESTAMP_CLOCK_ID, MONOTONIC)),
    message(TracePacket.CLOCK_SNAPSHOT, number(ClockSnapshot.PRIMARY_TRACE_CLOCK, MONOTONIC)))
"""The first packet, the same in every trace: times are CLOCK_MONOTONIC."""

Value = int | str


class Pointer(int):
    """A number that is shown in base 16."""


class Sequence:
    """Packets to write()."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._known: dict[tuple[int, str], int] = {}
        self._fresh: list[bytes] = []
        self._annotations: dict[tuple[str, Value], bytes] = {}
        write(HEAD)

    def packet(self, *fields: bytes) -> None:
        """A packet without a time."""
        self._write(message(Trace.PACKET, *self._state(), *fields))

    def event(self, at_ns: int, kind: Type, track: int, name: str = "",
              said: Iterable[tuple[str, Value]] = ()) -> None:
        """A slice's begin or end, or an instant, with what is said of it."""
        fields = [number(TrackEvent.TYPE, kind), number(TrackEvent.TRACK_UUID, track)]
        if name:
            fields += [number(TrackEvent.CATEGORY_IIDS,
                              self._named(InternedData.EVENT_CATEGORIES, "cma")),
                       number(TrackEvent.NAME_IID, self._named(InternedData.EVENT_NAMES, name))]
        fields += [self._annotations.get(one) or self._annotation(one) for one in said]
        self._timed(at_ns, fields)

    def counter(self, at_ns: int, track: int, value: int) -> None:
        """A counter's value from at_ns on."""
        self._timed(at_ns, [number(TrackEvent.TYPE, Type.COUNTER),
                            number(TrackEvent.TRACK_UUID, track),
                            number(TrackEvent.COUNTER_VALUE, value)])

    def _timed(self, at_ns: int, fields: list[bytes]) -> None:
        self._write(message(Trace.PACKET, *self._state(), _TIMESTAMP, varint(at_ns),
                            message(TracePacket.TRACK_EVENT, *fields)))

    def _state(self) -> tuple[bytes, ...]:
        if not self._fresh:
            return (_NEEDS,)
        data = message(TracePacket.INTERNED_DATA, *self._fresh)
        self._fresh.clear()
        return _NEEDS, data

    def _annotation(self, one: tuple[str, Value]) -> bytes:
        if len(self._annotations) >= _ANNOTATIONS:
            self._annotations.clear()
        key, value = one
        found = self._annotations[one] = message(TrackEvent.DEBUG_ANNOTATIONS, number(
            DebugAnnotation.NAME_IID, self._named(InternedData.DEBUG_ANNOTATION_NAMES, key)),
            self._value(value))
        return found

    def _value(self, value: Value) -> bytes:
        if isinstance(value, str):
            return number(DebugAnnotation.STRING_VALUE_IID,
                          self._named(InternedData.DEBUG_ANNOTATION_STRING_VALUES, value))
        if isinstance(value, Pointer):
            return number(DebugAnnotation.POINTER_VALUE, value)
        return number(DebugAnnotation.INT_VALUE, value)

    def _named(self, kind: InternedData, name: str) -> int:
        found = self._known.get((kind, name))
        if found is None:
            found = self._known[kind, name] = len(self._known) + 1
            body = (message(InternedString.STR, name.encode("utf-8", "replace"))
                    if kind is InternedData.DEBUG_ANNOTATION_STRING_VALUES
                    else text(EventName.NAME, name))
            self._fresh.append(message(kind, number(EventName.IID, found), body))
        return found
