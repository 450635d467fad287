# SPDX-License-Identifier: GPL-2.0
"""Records as the probes send them, decoded. Pure: no I/O, no clock, no bcc.

Times are CLOCK_MONOTONIC in ns, counts are pages, addresses are pfns.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from cmaobs import wire


class Kind(IntEnum):
    """What a record is of; enum cmaobs_kind."""

    ALLOC = wire.constant("CMAOBS_ALLOC")
    RELEASE = wire.constant("CMAOBS_RELEASE")
    SCAN = wire.constant("CMAOBS_SCAN")
    COUNT = wire.constant("CMAOBS_COUNT")
    BATCH = wire.constant("CMAOBS_BATCH")
    POLICY = wire.constant("CMAOBS_POLICY")
    CONTIG = wire.constant("CMAOBS_CONTIG")
    FREE = wire.constant("CMAOBS_FREE")


class Path(IntEnum):
    """How an operation went; enum cmaobs_path."""

    NONE = wire.constant("CMAOBS_PATH_NONE")
    HIT = wire.constant("CMAOBS_PATH_HIT")
    CONTIG = wire.constant("CMAOBS_PATH_CONTIG")
    FAILED = wire.constant("CMAOBS_PATH_FAILED")
    DEFERRED = wire.constant("CMAOBS_PATH_DEFERRED")
    DIRECT = wire.constant("CMAOBS_PATH_DIRECT")
    REJECTED = wire.constant("CMAOBS_PATH_REJECTED")


SILENT = wire.constant("CMAOBS_SILENT")
STALE = wire.constant("CMAOBS_STALE")
PROCESS = wire.constant("CMAOBS_PROCESS")
KTHREAD = wire.constant("CMAOBS_KTHREAD")
NO_AREA = 0xFFFF
SHRINK_STOP = -1  # ~0UL as signed; include/linux/shrinker.h
SHRINK_EMPTY = -2  # ~0UL - 1


class Record(NamedTuple):
    """struct cmaobs_record, field for field: see probes/wire.h for each."""

    start_ns: int
    end_ns: int
    op_ns: int
    pfn: int
    count: int  # type: ignore[assignment]  # the kernel's word; hides tuple.count
    ret: int
    defer_entry: int
    defer_exit: int
    batch: int
    free_pages: int
    tid: int
    tgid: int
    n_contig: int
    n_free: int
    lost: int
    kind: int
    path: int
    area: int
    cpu: int
    align: int
    depth: int
    flags: int
    comm: bytes
    stack: int = 0
    busy: int = 0


RECORD = wire.Layout("cmaobs_record")
if RECORD.fields != Record._fields:
    raise ImportError(f"cmaobs/events.py does not match probes/wire.h: "
                      f"{set(RECORD.fields) ^ set(Record._fields)}")


def decode(data: bytes | memoryview) -> Iterator[Record]:
    """Each record of data.

    Raises struct.error where the length is not a multiple of RECORD.size.
    """
    return map(Record._make, RECORD.iter_unpack(data))


class Operation(NamedTuple):
    """An operation with the calls made inside it, in the order they ended."""

    record: Record
    calls: tuple[Record, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no call inside is missing from the stream."""
        contigs = sum(call.kind == Kind.CONTIG for call in self.calls)
        return (contigs == self.record.n_contig
                and len(self.calls) - contigs == self.record.n_free)
