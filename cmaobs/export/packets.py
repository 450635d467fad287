# SPDX-License-Identifier: GPL-2.0
"""The messages of a Perfetto trace that are written here, by their field numbers. Pure data.

Source: protos/perfetto/trace/*.proto of github.com/google/perfetto. Each class is a message and
each member a field; tests compare them with Perfetto's own descriptors.
"""

from __future__ import annotations

from enum import IntEnum

MONOTONIC, REALTIME = 3, 1  # BuiltinClock
CLEARED, NEEDED = 1, 2  # SequenceFlags: SEQ_INCREMENTAL_STATE_CLEARED, SEQ_NEEDS_...
EXPLICIT = 3  # TrackDescriptor.ChildTracksOrdering


class Trace(IntEnum):
    PACKET = 1


class TracePacket(IntEnum):
    CLOCK_SNAPSHOT = 6
    TIMESTAMP = 8
    TRUSTED_PACKET_SEQUENCE_ID = 10
    TRACK_EVENT = 11
    INTERNED_DATA = 12
    SEQUENCE_FLAGS = 13
    SYSTEM_INFO = 45
    TRACE_PACKET_DEFAULTS = 59
    TRACK_DESCRIPTOR = 60
    TRACE_ATTRIBUTES = 126


class TracePacketDefaults(IntEnum):
    TIMESTAMP_CLOCK_ID = 58


class ClockSnapshot(IntEnum):
    CLOCKS = 1
    PRIMARY_TRACE_CLOCK = 2


class Clock(IntEnum):
    CLOCK_ID = 1
    TIMESTAMP = 2


class SystemInfo(IntEnum):
    UTSNAME = 1


class Utsname(IntEnum):
    SYSNAME = 1
    RELEASE = 3
    MACHINE = 4


class TraceAttributes(IntEnum):
    ATTRIBUTE = 1


class Attribute(IntEnum):
    KEY = 1
    STRING_VALUE = 3


class InternedData(IntEnum):
    EVENT_CATEGORIES = 1
    EVENT_NAMES = 2
    DEBUG_ANNOTATION_NAMES = 3
    DEBUG_ANNOTATION_STRING_VALUES = 29


class EventName(IntEnum):
    IID = 1
    NAME = 2


class InternedString(IntEnum):
    IID = 1
    STR = 2


class TrackDescriptor(IntEnum):
    UUID = 1
    NAME = 2
    PROCESS = 3
    THREAD = 4
    PARENT_UUID = 5
    COUNTER = 8
    CHILD_ORDERING = 11
    SIBLING_ORDER_RANK = 12
    DESCRIPTION = 14


class ProcessDescriptor(IntEnum):
    PID = 1
    PROCESS_NAME = 6


class ThreadDescriptor(IntEnum):
    PID = 1
    TID = 2
    THREAD_NAME = 5


class CounterDescriptor(IntEnum):
    UNIT_NAME = 6


class TrackEvent(IntEnum):
    CATEGORY_IIDS = 3
    DEBUG_ANNOTATIONS = 4
    TYPE = 9
    NAME_IID = 10
    TRACK_UUID = 11
    COUNTER_VALUE = 30


class DebugAnnotation(IntEnum):
    NAME_IID = 1
    UINT_VALUE = 3
    INT_VALUE = 4
    POINTER_VALUE = 7
    STRING_VALUE = 6
    STRING_VALUE_IID = 17


class Type(IntEnum):
    """TrackEvent.Type, without its prefix."""

    SLICE_BEGIN = 1
    SLICE_END = 2
    INSTANT = 3
    COUNTER = 4
