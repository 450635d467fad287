# SPDX-License-Identifier: GPL-2.0
"""A recording as tables: their columns, and the rows that it gives. Pure.

The documentation is made from COLUMNS. A value that is not known, or that does not apply, is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from cmaobs import wire
from cmaobs.events import KTHREAD, NO_AREA, PROCESS, STALE, Kind, Operation, Path, Record
from cmaobs.export.words import error_name, runs, thread_name
from cmaobs.policies import name_of
from cmaobs.state import AreaCounts, AreaFacts, AreaState, Reading
from cmaobs.view import View, allocated_pages, free_pages, largest_clear_run

Type = Literal["int64", "uint64", "float64", "bool", "string", "name"]
"""name: a string of which there are few."""


class Column(NamedTuple):
    """One column; unit is empty for what has none."""

    name: str
    type: Type
    unit: str
    meaning: str


_COUNTERS = wire.Layout("cmaobs_counters").fields
_SPAN = (
    Column("start_ns", "int64", "ns", "CLOCK_MONOTONIC at entry"),
    Column("end_ns", "int64", "ns", "CLOCK_MONOTONIC at return"),
    Column("duration_ns", "int64", "ns", "end_ns - start_ns"),
)
_THREAD = (
    Column("pid", "int64", "", "process (tgid), as the host's PID namespace numbers it"),
    Column("tid", "int64", "", "thread"),
    Column("cpu", "int64", "", "CPU at return"),
)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "operations": (
        Column("operation", "int64", "", "number of the row, from 0; `calls` refer to it"),
        Column("kind", "name", "", "alloc, release, scan, count (the shrinker's), batch or policy "
               "(a write of the area's)"),
        Column("path", "name", "", "alloc: hit, contig or failed; release: deferred, direct or "
               "rejected; else none"),
        Column("area", "name", "", "name; null: not an area that is known"),
        *_SPAN,
        Column("pages", "uint64", "pages", "asked for; scan: nr_to_scan; batch, policy: the new "
               "value"),
        Column("pfn", "uint64", "pfn", "first page; null: none was granted, or it is not known"),
        Column("align", "int64", "order", "alignment asked for"),
        Column("ret", "int64", "", "0 or -errno; release: 0 or 1; scan and count: as returned"),
        Column("error", "name", "", "name of that errno, such as ENOMEM"),
        Column("defer_entry", "uint64", "pages", "defer_count at entry, read without the lock; "
               "null on a kernel that does not defer"),
        Column("defer_exit", "uint64", "pages", "defer_count at return, likewise"),
        Column("batch", "uint64", "pages", "the area's batch at return, likewise"),
        Column("freed_pages", "uint64", "pages", "given to free_contig_range inside"),
        *_THREAD,
        Column("comm", "name", "", "name of the thread"),
        Column("thread", "name", "", "process or kthread; null: not told"),
        Column("depth", "int64", "", "operations around this one on the thread"),
        Column("contig_calls", "int64", "", "calls of alloc_contig_range inside"),
        Column("free_calls", "int64", "", "calls of free_contig_range inside"),
        Column("complete", "bool", "", "whether all of these are in `calls`"),
        Column("stack", "int64", "", "number in `stacks`; null: none was taken"),
        Column("stale", "bool", "", "an operation of this thread before it was lost"),
    ),
    "calls": (
        Column("operation", "int64", "", "row of `operations` that it was made in; null: of none"),
        Column("kind", "name", "", "contig (alloc_contig_range) or free (free_contig_range)"),
        Column("area", "name", "", "name; null: not an area that is known"),
        *_SPAN,
        Column("pfn", "uint64", "pfn", "first page"),
        Column("pages", "uint64", "pages", "number of them"),
        Column("ret", "int64", "", "0 or -errno"),
        Column("error", "name", "", "name of that errno, such as EBUSY"),
        *_THREAD,
    ),
    "readings": (
        Column("reading", "int64", "", "number of the row, from 0"),
        Column("time_ns", "int64", "ns", "CLOCK_MONOTONIC"),
        Column("wall_s", "float64", "s", "time of day, since 1970-01-01 UTC"),
    ),
    "losses": (
        Column("reading", "int64", "", "row of `readings`"),
        Column("kind", "name", "", "what was lost: see wire.md"),
        Column("count", "uint64", "", "lost since the observer attached"),
    ),
    "areas": (
        Column("reading", "int64", "", "row of `readings`"),
        Column("area", "name", "", "name"),
        Column("base_pfn", "uint64", "pfn", "first page"),
        Column("pages", "uint64", "pages", "size"),
        Column("order_per_bit", "uint64", "order", "pages of a bit of the bitmap"),
        Column("fault", "name", "", "why the area could not be read; null: it could. With a "
               "fault, all from start_ns to at_rest are null"),
        Column("start_ns", "int64", "ns", "CLOCK_MONOTONIC before the area was read"),
        Column("end_ns", "int64", "ns", "CLOCK_MONOTONIC after it was read"),
        Column("allocated_pages", "int64", "pages", "whose bit is set"),
        Column("free_pages", "int64", "pages", "in the buddy: neither allocated nor deferred"),
        Column("largest_clear_run_pages", "int64", "pages", "longest run of clear bits, deferred "
               "pages included"),
        Column("allocated_runs", "int64", "", "runs of pages whose bit is set"),
        Column("defer_count", "uint64", "pages", "on the deferred list; null on a kernel that does "
               "not defer"),
        Column("deferred_extents", "int64", "", "extents on it, likewise"),
        Column("batch", "uint64", "pages", "the area's batch, likewise"),
        Column("shrinker_batch", "uint64", "pages", "of its shrinker, likewise; 0 is 128"),
        Column("policy", "name", "", "what allocations do with deferred pages: first-fit or "
               "deferred-first; null where that cannot be set"),
        Column("kernel_pages_succeeded", "uint64", "pages", "the kernel's own count since boot; "
               "null without CONFIG_CMA_SYSFS"),
        Column("kernel_pages_failed", "uint64", "pages", "likewise"),
        Column("begun", "uint64", "", "operations begun since the probes were armed"),
        Column("at_rest", "bool", "", "no operation was in flight while it was read; only then do "
               "the columns belong to one instant"),
        *(Column(name, "uint64", "pages" if "pages" in name else "",
                 "counted in the kernel since the probes were armed: wire.md, "
                 "struct cmaobs_counters") for name in _COUNTERS),
    ),
    "stacks": (
        Column("stack", "int64", "", "number, as in `operations`"),
        Column("frame", "int64", "", "0 is the innermost function"),
        Column("function", "name", "", "name+offset, with the module in brackets"),
    ),
    "divergences": (
        Column("rule", "name", "", "R1 to R12: rules.md"),
        Column("area", "name", "", "name"),
        Column("at_ns", "int64", "ns", "CLOCK_MONOTONIC when it was certain"),
        Column("pages", "string", "", "runs concerned: first pfn+pages"),
        Column("expected", "string", "", "by the rule"),
        Column("observed", "string", "", "what was"),
    ),
    "run": (
        Column("key", "string", "", "verdict; reason (why unknown), warning; records, readings, "
               "impossible (records left out since they cannot be what they say); and kernel.KEY "
               "for what the recording says of the kernel and the observer"),
        Column("value", "string", "", "its value; a key may come more than once"),
    ),
}

Row = tuple[object, ...]
_LIMIT = 1 << 63
_KINDS = {int(kind): kind.name.lower() for kind in Kind}
_PATHS = {int(path): path.name.lower() for path in Path}


class Tables:
    """A Sink of cmaobs.export.flow that hands rows to add(table, row)."""

    def __init__(self, identity: Mapping[str, str], areas: Iterable[AreaFacts],
                 add: Callable[[str, Row], object]) -> None:
        self._add = add
        self._identity = identity
        self._patched = identity.get("patched") == "yes"
        self._names: dict[int, str | None] = {area.index: area.name for area in areas}
        self._names[NO_AREA] = None
        self._operations = self._readings = 0
        self._stacks: set[int] = set()

    def operation(self, operation: Operation, stacks: Mapping[int, tuple[str, ...]]) -> None:
        """A row of operations, or a call that belongs to none, and the calls inside."""
        record = operation.record
        if record.kind >= Kind.CONTIG:
            self._add("calls", self._call(None, record))
            return
        number, self._operations = self._operations, self._operations + 1
        if record.stack in stacks and record.stack not in self._stacks:
            self._stacks.add(record.stack)
            for frame, function in enumerate(stacks[record.stack]):
                self._add("stacks", (record.stack, frame, function))
        deferral: Row = ((record.defer_entry, record.defer_exit, record.batch) if self._patched
                         else (None, None, None))
        self._add("operations", (
            number, _KINDS[record.kind], _PATHS[record.path], self._names[record.area],
            record.start_ns, record.end_ns, record.end_ns - record.start_ns, record.count,
            record.pfn or None, record.align, record.ret, error_name(record) or None, *deferral,
            record.free_pages, record.tgid, record.tid, record.cpu, thread_name(record),
            "kthread" if record.flags & KTHREAD else
            "process" if record.flags & PROCESS else None,
            record.depth, record.n_contig, record.n_free, operation.complete,
            record.stack or None, bool(record.flags & STALE)))
        for call in operation.calls:
            self._add("calls", self._call(number, call))

    def _call(self, operation: int | None, record: Record) -> Row:
        return (operation, _KINDS[record.kind], self._names[record.area], record.start_ns,
                record.end_ns, record.end_ns - record.start_ns, record.pfn, record.count,
                record.ret, error_name(record) or None, record.tgid, record.tid, record.cpu)

    def reading(self, reading: Reading) -> None:
        """A row of readings, and those of the areas and of losses in it."""
        number, self._readings = self._readings, self._readings + 1
        self._add("readings", (number, reading.time_ns, reading.wall_s))
        for kind, count in reading.losses.counts.items():
            self._add("losses", (number, kind, count))
        counts = {one.facts.index: one for one in reading.counts}
        for state in reading.states:
            self._add("areas", (number, *_area(state), *_counts(counts.get(state.facts.index))))

    def end(self, view: View) -> None:
        """The verdict."""
        verdict = view.verdict
        for one in verdict.divergences if verdict else ():
            self._add("divergences", (one.rule, one.area, one.at_ns, runs(one.pages),
                                      one.expected, one.observed))
        for row in self._run(view):
            self._add("run", row)

    def _run(self, view: View) -> Iterator[tuple[str, str]]:
        yield "verdict", view.verdict.outcome.name.lower() if view.verdict else "none"
        for reason in view.verdict.reasons if view.verdict else ():
            yield "reason", reason
        for warning in view.warnings:
            yield "warning", warning
        yield "records", str(view.records)
        yield "readings", str(view.readings)
        yield "impossible", str(view.impossible)
        for key, value in self._identity.items():
            yield f"kernel.{key}", value


def _area(state: AreaState) -> Row:
    facts = state.facts
    known: Row = (facts.name, facts.base_pfn, facts.count, facts.order_per_bit)
    if state.fault:
        return (*known, state.fault, *(None,) * 15)
    pages = map(_signed, (allocated_pages(state), free_pages(state), largest_clear_run(state)))
    return (*known, None, state.start_ns, state.end_ns, *pages, len(state.allocated),
            state.defer_count, None if state.extents is None else len(state.extents), state.batch,
            state.shrinker_batch, None if state.policy is None else name_of(state.policy),
            state.pages_succeeded, state.pages_failed, state.begun,
            state.at_rest)


def _counts(counts: AreaCounts | None) -> Row:
    values = counts.counters if counts else {}
    return tuple(values.get(name) for name in _COUNTERS)


def _signed(value: int) -> int | None:
    """The number, if 64 bits hold it: an area may claim any size."""
    return value if -_LIMIT <= value < _LIMIT else None
