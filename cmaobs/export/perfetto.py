# SPDX-License-Identifier: GPL-2.0
"""A recording as a Perfetto trace: slices by thread, counters by area. Pure.

Perfetto sorts by time and keeps the order of what has the same time, so packets are written as
they come, and only the slices of one thread that are inside each other need an order here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from cmaobs.events import NO_AREA, Kind, Operation, Path, Record
from cmaobs.export.packets import (
    MONOTONIC,
    REALTIME,
    Attribute,
    Clock,
    ClockSnapshot,
    SystemInfo,
    TraceAttributes,
    TracePacket,
    Type,
    Utsname,
)
from cmaobs.export.protobuf import message, number, text
from cmaobs.export.sequence import Pointer, Sequence, Value
from cmaobs.export.tracks import AREA_COUNTERS, Tracks
from cmaobs.export.words import error_name, runs
from cmaobs.state import AreaFacts, AreaState, Reading
from cmaobs.verdict import Divergence
from cmaobs.view import View, allocated_pages, largest_clear_run

_NAMES = {Kind.ALLOC: "cma_alloc", Kind.RELEASE: "cma_release", Kind.SCAN: "cma_defer_free_scan",
          Kind.COUNT: "cma_defer_free_count", Kind.BATCH: "cma_defer_set_batch",
          Kind.POLICY: "cma_defer_set_policy",
          Kind.CONTIG: "alloc_contig_range", Kind.FREE: "free_contig_range"}
_NESTED = 1024  # operations inside others that wait for the outer one
_YEAR_9999_NS = 253_402_300_800 * 10 ** 9


class _Slice(NamedTuple):
    """level: operations and calls around it."""

    record: Record
    level: int

    def inside(self, other: _Slice) -> bool:
        return (self.level > other.level and self.record.start_ns >= other.record.start_ns
                and self.record.end_ns <= other.record.end_ns)


class Trace:
    """A Sink of cmaobs.export.flow that hands packets to write()."""

    def __init__(self, identity: Mapping[str, str], areas: Iterable[AreaFacts],
                 write: Callable[[bytes], object]) -> None:
        self._out = Sequence(write)
        self._tracks = Tracks(self._out, areas)
        self._identity = identity
        self._patched = identity.get("patched") == "yes"
        self._nested: dict[int, list[Operation]] = {}
        self._waiting = 0
        self._read: Reading | None = None
        self._lost: set[str] = set()
        self._out.packet(message(TracePacket.SYSTEM_INFO, message(
            SystemInfo.UTSNAME, text(Utsname.SYSNAME, "Linux"),
            text(Utsname.RELEASE, identity.get("release", "")),
            text(Utsname.MACHINE, identity.get("machine", "")))))

    def reading(self, reading: Reading) -> None:
        """Counters of the areas, and of what was lost."""
        if self._read is None:
            self._clocks(reading)
        for state in reading.states:
            if not state.fault:
                self._state(state)
        for kind, lost in reading.losses.counts.items():
            if not lost and kind not in self._lost:
                continue
            if kind not in self._lost and self._read:
                self._out.counter(self._read.time_ns, self._tracks.loss(kind), 0)
            self._lost.add(kind)
            self._out.counter(reading.time_ns, self._tracks.loss(kind), lost)
        self._read = reading

    def operation(self, operation: Operation, stacks: Mapping[int, tuple[str, ...]]) -> None:
        """Slices of the operation and what is inside it."""
        record = operation.record
        if record.depth:
            self._nested.setdefault(record.tid, []).append(operation)
            self._waiting += 1
            if self._waiting > _NESTED:
                self._leave(stacks)
            return
        inside = self._nested.pop(record.tid, []) if self._nested else []
        self._waiting -= len(inside)
        self._draw([*inside, operation], stacks)

    def end(self, view: View) -> None:
        """Divergences at their places, and the verdict."""
        self._leave(view.stacks)
        verdict = view.verdict
        for one in verdict.divergences if verdict else ():
            self._divergence(one)
        said = {f"kernel.{key}": value for key, value in self._identity.items()}
        said["verdict"] = verdict.outcome.name.lower() if verdict else "none"
        if verdict:
            said |= {f"unknown because ({place})": reason
                     for place, reason in enumerate(verdict.reasons, 1)}
        said |= {f"lost.{kind}": str(count) for kind, count in
                 (self._read.losses.counts.items() if self._read else ()) if count}
        said |= {f"warning ({place})": warning
                 for place, warning in enumerate(view.warnings, 1)}
        self._out.packet(message(TracePacket.TRACE_ATTRIBUTES, *(
            message(TraceAttributes.ATTRIBUTE, text(Attribute.KEY, f"cmaobs.{key}"),
                    text(Attribute.STRING_VALUE, value)) for key, value in said.items())))
        if self._read:
            self._out.event(self._read.time_ns, Type.INSTANT, self._tracks.run(),
                            f"verdict: {said['verdict']}", said.items())

    def _clocks(self, reading: Reading) -> None:
        wall_ns = int(reading.wall_s * 1e9)
        if 0 < wall_ns < _YEAR_9999_NS:
            self._out.packet(message(TracePacket.CLOCK_SNAPSHOT, *(
                message(ClockSnapshot.CLOCKS, number(Clock.CLOCK_ID, clock),
                        number(Clock.TIMESTAMP, at_ns))
                for clock, at_ns in ((MONOTONIC, reading.time_ns), (REALTIME, wall_ns))),
                number(ClockSnapshot.PRIMARY_TRACE_CLOCK, MONOTONIC)))

    def _state(self, state: AreaState) -> None:
        values = (state.defer_count, allocated_pages(state), largest_clear_run(state),
                  None if state.extents is None else len(state.extents), state.batch)
        for (name, _, _), value in zip(AREA_COUNTERS, values, strict=True):
            if value is not None:
                self._out.counter(state.end_ns, self._tracks.counter(state.facts.index, name),
                                  value)

    def _leave(self, stacks: Mapping[int, tuple[str, ...]]) -> None:
        """Draw what is inside operations that were not seen."""
        for inside in self._nested.values():
            self._draw(inside, stacks)
        self._nested.clear()
        self._waiting = 0

    def _draw(self, operations: Iterable[Operation],
              stacks: Mapping[int, tuple[str, ...]]) -> None:
        slices = []
        for operation in operations:
            level = 2 * operation.record.depth
            slices.append(_Slice(operation.record, level))
            slices += [_Slice(call, level + 1) for call in operation.calls]
        slices.sort(key=lambda one: (one.record.start_ns, -one.record.end_ns, one.level))
        open_: list[_Slice] = []
        for one in slices:
            while open_ and not one.inside(open_[-1]):
                self._close(open_.pop())
            self._open(one.record, stacks)
            open_.append(one)
        while open_:
            self._close(open_.pop())

    def _open(self, record: Record, stacks: Mapping[int, tuple[str, ...]]) -> None:
        self._out.event(record.start_ns, Type.SLICE_BEGIN, self._tracks.thread(record),
                        _name(record), self._said(record, stacks))
        if self._patched and record.kind < Kind.CONTIG and record.area != NO_AREA:
            track = self._tracks.counter(record.area, "defer_count")
            self._out.counter(record.start_ns, track, record.defer_entry)
            self._out.counter(record.end_ns, track, record.defer_exit)

    def _close(self, one: _Slice) -> None:
        self._out.event(one.record.end_ns, Type.SLICE_END, self._tracks.thread(one.record))

    def _said(self, record: Record,
              stacks: Mapping[int, tuple[str, ...]]) -> Iterator[tuple[str, Value]]:
        if record.area != NO_AREA:
            yield "area", self._tracks.area_name(record.area)
        yield "pages", record.count
        if record.pfn:
            yield "pfn", Pointer(record.pfn)
        yield "ret", record.ret
        error = error_name(record)
        if error:
            yield "error", error
        yield "cpu", record.cpu
        if record.kind >= Kind.CONTIG:
            return
        yield "align", record.align
        if self._patched:
            yield "defer_entry", record.defer_entry
            yield "defer_exit", record.defer_exit
            yield "batch", record.batch
        if record.stack in stacks:
            yield "stack", "\n".join(stacks[record.stack])

    def _divergence(self, one: Divergence) -> None:
        area = next((index for index in self._tracks.areas
                     if self._tracks.area_name(index) == one.area), None)
        track = self._tracks.run() if area is None else self._tracks.area(area)
        self._out.event(one.at_ns, Type.INSTANT, track, f"{one.rule} broken", (
            ("pages", runs(one.pages)), ("expected", one.expected), ("observed", one.observed)))


def _name(record: Record) -> str:
    path = "" if record.path == Path.NONE else f", {Path(record.path).name.lower()}"
    return _NAMES[Kind(record.kind)] + path
