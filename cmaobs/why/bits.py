# SPDX-License-Identifier: GPL-2.0
"""The bits of areas while allocations failed, from the records and readings that are kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cmaobs.events import Kind, Operation, Path, Record, decode
from cmaobs.state import AreaFacts, AreaState
from cmaobs.why.clear import Clear, Line, change

_MOST = 1 << 26  # bits of an area


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
    """Made for one look at the segments, which records are decoded for at most once.

    asked: operations that will be asked for. complete: whether all that began before their end has
    arrived.
    """

    def __init__(self, areas: Mapping[int, AreaFacts], segments: Iterable[Segment],
                 asked: Sequence[Record], complete: bool) -> None:
        self._areas, self._segments, self._complete = areas, list(segments), complete
        self._concerned = {record.area for record in asked}
        self._first = min(self._place(record) or 0 for record in asked)
        self._calls: dict[tuple[int, int], list[Record]] | None = None
        self._operations: dict[int, list[Operation]] = defaultdict(list)
        self._hidden: set[int] = set()  # areas of which it is not told which pages are granted
        self._lines: dict[tuple[int, int], Line] = {}

    def calls(self, record: Record) -> tuple[Record, ...]:
        """The contig calls of an operation, as far as they are kept."""
        if not record.n_contig:
            return ()
        return tuple(self._decode().get((record.tid, record.start_ns), ()))

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
        self._decode()
        if area in self._hidden:
            return "this kernel does not tell which pages are granted"
        found = self._line(area, place).during(record.start_ns, record.end_ns)
        return "too much overlapped it" if found is None else found

    def _place(self, record: Record) -> int | None:
        """The last segment whose reading of the area was over before the operation began."""
        return next((at for at in reversed(range(len(self._segments)))
                     if record.area in self._segments[at].states
                     and self._segments[at].states[record.area].end_ns < record.start_ns), None)

    def _line(self, area: int, place: int) -> Line:
        if (area, place) not in self._lines:
            facts = self._areas[area]
            changes = (change(facts, one) for one in self._operations[area])
            self._lines[area, place] = Line(self._segments[place].states[area],
                                            (one for one in changes if one is not None))
        return self._lines[area, place]

    def _decode(self) -> dict[tuple[int, int], list[Record]]:
        """Contig calls by thread and operation; and operations by area."""
        if self._calls is None:
            self._calls = defaultdict(list)
            operations = []
            for one in (one for segment in self._segments[self._first:] for data in segment.data
                        for one in decode(data) if one.area in self._concerned):
                if one.kind == Kind.CONTIG:
                    self._calls[one.tid, one.op_ns].append(one)
                elif one.kind in (Kind.ALLOC, Kind.RELEASE):
                    operations.append(one)
            for one in operations:
                calls = self._calls.get((one.tid, one.start_ns), ()) if one.n_contig else ()
                self._operations[one.area].append(Operation(one, tuple(calls)))
                if one.kind == Kind.ALLOC and one.path != Path.FAILED and not one.pfn:
                    self._hidden.add(one.area)
        return self._calls
