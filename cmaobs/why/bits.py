# SPDX-License-Identifier: GPL-2.0
"""The bits of areas while allocations failed, from the records and readings that are kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cmaobs.events import RECORD, Kind, Operation, Path, Record, decode
from cmaobs.state import AreaFacts, AreaState
from cmaobs.why.clear import Change, Clear, Line, change

_MOST = 1 << 26  # bits of an area
_CALL = RECORD.only("op_ns", "tid", "kind")


@dataclass(slots=True)
class Segment:
    """The records between two readings, and what the reading at their end says.

    dropped: there were too many to keep. states: by area, where they could be read. lost: the
    observer's losses by then.
    """

    data: list[bytes] = field(default_factory=list)
    size: int = 0
    dropped: bool = False
    states: Mapping[int, AreaState] = field(default_factory=dict)
    lost: int = 0


class Bits:
    """Made for one look at the segments, which are gone through at most twice.

    asked: operations that will be asked for. complete: whether all that began before their end has
    arrived. Of the records between readings only what these need is held decoded: seconds of them
    may be there.
    """

    def __init__(self, areas: Mapping[int, AreaFacts], segments: Iterable[Segment],
                 asked: Sequence[Record], complete: bool) -> None:
        self._areas, self._segments, self._complete = areas, list(segments), complete
        self._concerned = {record.area for record in asked}
        self._first = min(self._place(record) or 0 for record in asked)
        self._asked = {(record.start_ns, record.tid) for record in asked if record.n_contig}
        self._calls: dict[tuple[int, int], list[Record]] | None = None
        self._changes: dict[int, list[Change]] | None = None
        self._hidden: set[int] = set()  # areas of which it is not told which pages are granted
        self._lines: dict[tuple[int, int], Line] = {}

    def calls(self, record: Record) -> tuple[Record, ...]:
        """The contig calls of an operation, as far as they are kept."""
        if not record.n_contig:
            return ()
        if self._calls is None:
            self._calls = self._find()
        return tuple(self._calls.get((record.start_ns, record.tid), ()))

    def clear(self, record: Record) -> Clear | str:
        """The bits of its area during an operation; or why they are not known."""
        area = record.area
        facts = self._areas[area]
        if facts.span >> facts.order_per_bit > _MOST:
            return "the area is too large to follow its bits"
        place = self._place(record)
        if place is None:
            return "the area had not been read before"
        if not self._complete:
            return "what overlapped it may not have arrived"
        since = self._segments[place:]
        if since[-1].lost != since[0].lost:
            return "records were lost meanwhile"
        if any(segment.dropped for segment in since):
            return "there were too many records to keep"
        if self._changes is None:
            self._changes = self._follow()
        if area in self._hidden:
            return "this kernel does not tell which pages are granted"
        found = self._line(area, place, self._changes).during(record.start_ns, record.end_ns)
        return "too much overlapped it" if found is None else found

    def _place(self, record: Record) -> int | None:
        """The last segment whose reading of the area was over before the operation began."""
        return next((at for at in reversed(range(len(self._segments)))
                     if record.area in self._segments[at].states
                     and self._segments[at].states[record.area].end_ns < record.start_ns), None)

    def _line(self, area: int, place: int, changes: Mapping[int, list[Change]]) -> Line:
        if (area, place) not in self._lines:
            self._lines[area, place] = Line(self._segments[place].states[area],
                                            changes.get(area, ()))
        return self._lines[area, place]

    def _data(self) -> Iterator[bytes]:
        return (data for segment in self._segments[self._first:] for data in segment.data)

    def _find(self) -> dict[tuple[int, int], list[Record]]:
        """Contig calls of what is asked for, by its start and thread."""
        calls = defaultdict(list)
        for data in self._data():
            for at, (op_ns, tid, kind) in enumerate(_CALL.iter_unpack(data)):
                if kind == Kind.CONTIG and (op_ns, tid) in self._asked:
                    calls[op_ns, tid].append(Record(*RECORD.unpack(data, at * RECORD.size)))
        return calls

    def _follow(self) -> dict[int, list[Change]]:
        """What operations did to the bits, by area. A thread's calls come before its operation."""
        changes = defaultdict(list)
        failed: dict[tuple[int, int], list[Record]] = defaultdict(list)
        for one in (one for data in self._data() for one in decode(data)):
            if one.area not in self._concerned:
                continue
            if one.kind == Kind.CONTIG and one.ret:
                failed[one.op_ns, one.tid].append(one)
            elif one.kind in (Kind.ALLOC, Kind.RELEASE):
                calls = failed.pop((one.start_ns, one.tid), ()) if one.n_contig else ()
                found = change(self._areas[one.area], Operation(one, tuple(calls)))
                if found is not None:
                    changes[one.area].append(found)
                if one.kind == Kind.ALLOC and one.path != Path.FAILED and not one.pfn:
                    self._hidden.add(one.area)
        return changes
