# SPDX-License-Identifier: GPL-2.0
"""The fast lane: proves simple stretches of a history lawful, straight from raw records.

lane.h says what the compiled part does. It is an accelerator: whatever it
cannot explain goes to cmaobs.crosscheck.area, and only that judges.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cmaobs import wire
from cmaobs.events import RECORD, Kind, Operation, Record, decode
from cmaobs.lane import library
from cmaobs.runs import union
from cmaobs.state import AreaFacts, AreaState

_COUNTERS = wire.Layout("cmaobs_counters")
_PIECE = struct.Struct("=5Q")
_RESULT = struct.Struct("=9Q")
_FAR = (1 << 64) - 1


class Piece(NamedTuple):
    """struct lane_piece: deferred pages of one extent, counted from the area's first."""

    first: int
    pages: int
    ident: int
    since: int
    until: int


class Stretch(NamedTuple):
    """struct lane_result."""

    explained: int
    crowded: int
    granted: int
    refused: int
    last_ns: int
    stuck: int
    midway: int
    glanced: int
    differs: int


def missing() -> str:
    """Why there is no lane; empty where there is one."""
    return library.load()[2]


def operations(data: bytes) -> list[Operation]:
    """Records of lane_take(), each operation after its calls."""
    made = []
    calls: list[Record] = []
    for record in decode(data):
        if record.kind in (Kind.CONTIG, Kind.FREE):
            calls.append(record)
        else:
            made.append(Operation(record, tuple(calls)))
            calls = []
    return made


def gather(ring: memoryview) -> tuple[bytes, int] | None:
    """The records in a stretch of a BPF ring buffer up to the first that is still being
    written, and the bytes that they took there; None where there is no lane.
    """
    ffi, lib, _ = library.load()
    if lib is None:
        return None
    data = bytearray(len(ring))
    used = ffi.new("uint64_t *")
    found = int(lib.lane_gather(ffi.from_buffer(ring), len(ring), ffi.from_buffer(data), used))
    del data[found * RECORD.size:]
    return bytes(data), int(used[0])


class Ends:
    """When the last record of each CPU ended, and the latest of all."""

    def __init__(self) -> None:
        """Raises RuntimeError where missing() says why."""
        self._ffi, self._lib, why = library.load()
        if self._lib is None:
            raise RuntimeError(why)
        # by each number that a record's cpu may be; what is not touched takes no memory
        self._last = self._ffi.from_buffer("uint64_t[]", mmap.mmap(-1, 8 << 16))
        self._latest = self._ffi.new("uint64_t *")

    @property
    def latest_ns(self) -> int:
        """Of the records so far."""
        return int(self._latest[0])

    def went_back(self, data: bytes, slack_ns: int) -> bool:
        """See cmaobs.clock.Clock."""
        return bool(self._lib.lane_went_back(self._ffi.from_buffer(data),
                                             len(data) // RECORD.size, slack_ns, self._last,
                                             self._latest))


class Lane:
    """All areas' records on their way through the compiled lane."""

    def __init__(self, areas: Sequence[AreaFacts], most: int) -> None:
        """most: operations that are put in order together, of those that overlap.

        Raises RuntimeError where missing() says why.
        """
        self._ffi, self._lib, why = library.load()
        if self._lib is None:
            raise RuntimeError(why)
        size = max((facts.index for facts in areas), default=-1) + 1
        self._lane = self._ffi.gc(self._checked(self._lib.lane_new(size, most)),
                                  self._lib.lane_free)
        for facts in areas:
            self._must(self._lib.lane_define(self._lane, facts.index, facts.base_pfn,
                                             facts.count))

    def _checked(self, pointer: Any) -> Any:
        if not pointer:
            raise MemoryError
        return pointer

    def _must(self, status: int) -> int:
        if status < 0:
            raise MemoryError
        return status

    def feed(self, data: bytes) -> bool:
        """Take whole records in the order they came; False, and nothing taken, where they
        are of a kind that only cmaobs.history can join.
        """
        return not self._must(self._lib.lane_feed(
            self._lane, self._ffi.from_buffer(data), len(data) // RECORD.size))

    def counts(self, index: int) -> Mapping[str, int]:
        """What was fed of an area, by the member names of struct cmaobs_counters."""
        data = self._ffi.buffer(self._lib.lane_counters(self._lane, index), _COUNTERS.size)
        return dict(zip(_COUNTERS.fields, _COUNTERS.unpack(data), strict=True))

    @property
    def elsewhere(self) -> int:
        """Operations of no known area."""
        return int(self._lib.lane_elsewhere(self._lane))

    @property
    def first_ns(self) -> int | None:
        """When the first operation began."""
        return int(self._lib.lane_first_ns(self._lane)) or None

    def passed(self, watermark_ns: int) -> None:
        """What began before is judged: were it fed now, it would be late."""
        self._lib.lane_passed(self._lane, min(watermark_ns, _FAR))

    def load(self, index: int, bitmap: bytes, pieces: Sequence[Piece], batch: int) -> None:
        """The area's state. bitmap: whole words of 8 bytes, a set bit an allocated page."""
        array = self._ffi.new("struct lane_piece[]", [tuple(piece) for piece in pieces])
        words = self._ffi.from_buffer("uint64_t[]", bitmap)
        self._must(self._lib.lane_load(self._lane, index, words, array, len(pieces), batch))

    def state(self, facts: AreaFacts) -> tuple[int, list[Piece]]:
        """Allocated pages as a set, and the list by place."""
        bitmap = self._ffi.buffer(self._lib.lane_bitmap(self._lane, facts.index),
                                  -(-facts.count // 64) * 8)
        count = self._ffi.new("uint64_t *")
        first = self._lib.lane_pieces(self._lane, facts.index, count)
        data = self._ffi.buffer(first, count[0] * _PIECE.size) if count[0] else b""
        return int.from_bytes(bitmap, "little"), list(map(Piece._make, _PIECE.iter_unpack(data)))

    def run(self, index: int, until_ns: int, known: bool) -> Stretch:
        """Explain what ended before until_ns, when all that began before was fed.

        known: whether the state is; where not, the first cluster is stuck.
        """
        result = self._ffi.new("struct lane_result *")
        self._lib.lane_run(self._lane, index, min(until_ns, _FAR), known, result)
        return Stretch(*_RESULT.unpack(self._ffi.buffer(result)))

    def glance(self, state: AreaState) -> bool:
        """Take a snapshot made while operations were in flight; False: it cannot wait here."""
        facts = state.facts
        if state.defer_count is not None and state.defer_count < 0:
            return False
        words = -(-facts.count // 64)
        held = union(((pfn - facts.base_pfn, count) for pfn, count in state.allocated))
        listed = _FAR if state.defer_count is None else state.defer_count
        return not self._must(self._lib.lane_glance(
            self._lane, facts.index, state.start_ns, state.end_ns,
            self._ffi.from_buffer("uint64_t[]", held.to_bytes(words * 8, "little")), listed))

    def unglance(self, index: int) -> None:
        """Forget the snapshots that wait."""
        self._lib.lane_unglance(self._lane, index)

    def waiting(self, index: int) -> int:
        """Operations fed and not explained yet."""
        return int(self._lib.lane_waiting(self._lane, index))

    def begun(self, index: int, until_ns: int) -> int:
        """Of those, how many began at until_ns or before."""
        return int(self._lib.lane_begun(self._lane, index, min(until_ns, _FAR)))

    def next_ns(self, index: int) -> int:
        """When the first of them began; later than any time where there is none."""
        return int(self._lib.lane_next_ns(self._lane, index))

    def take(self, index: int, count: int = _FAR) -> list[Operation]:
        """The first operations that wait; they are no longer the lane's."""
        room = int(self._lib.lane_size(self._lane, index, count))
        data = bytearray(room * RECORD.size)
        self._lib.lane_take(self._lane, index, count, self._ffi.from_buffer(data), room)
        return operations(bytes(data))

    def drop(self, index: int, count: int) -> int:
        """Forget the first operations that wait; when the last of them ended, ns."""
        return int(self._lib.lane_drop(self._lane, index, count))

    def calls(self) -> bytes:
        """Records of calls whose operation did not come yet; no longer the lane's."""
        data = bytearray(int(self._lib.lane_n_calls(self._lane)) * RECORD.size)
        self._lib.lane_calls(self._lane, self._ffi.from_buffer(data))
        return bytes(data)

    def recent(self, index: int) -> list[Operation]:
        """Up to 64 operations that were explained last."""
        room = 4096
        data = bytearray(room * RECORD.size)
        found = int(self._lib.lane_recent(self._lane, index, self._ffi.from_buffer(data), room))
        return operations(bytes(data[:found * RECORD.size]))
