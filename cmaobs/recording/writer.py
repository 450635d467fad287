# SPDX-License-Identifier: GPL-2.0
"""Writes a recording, a chunk at a time, so that a crash costs the last one at most."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import cmaobs
from cmaobs import wire
from cmaobs.errors import RecordingWriteError
from cmaobs.events import RECORD
from cmaobs.recording import columns, framing, readings, values
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading

_CHUNK_BYTES = 1 << 20  # of records held back, before compression
_END_ROOM = 512  # bytes kept free for the END chunk


def wire_layout() -> dict[str, object]:
    """What the raw records in a recording look like."""
    return {"version": wire.constant("CMAOBS_WIRE_VERSION"), "byteorder": sys.byteorder,
            "record_bytes": RECORD.size, "record_fields": list(RECORD.fields)}


def older_layouts() -> list[dict[str, object]]:
    """Those of version 4, whose records have a count in lost, of 3, which has no kind POLICY, of 2,
    whose records have 0 in place of busy, and of 1, whose records end before stack.
    """
    fields = list(RECORD.fields)
    return [*({**wire_layout(), "version": version} for version in (4, 3)),
            {"version": 2, "byteorder": sys.byteorder, "record_bytes": RECORD.size,
             "record_fields": [*fields[:-1], "unused"]},
            {"version": 1, "byteorder": sys.byteorder, "record_bytes": RECORD.size - 8,
             "record_fields": fields[:-2]}]


class RecordingWriter:
    """Writes steps to a file as they come.

    Records are held back until a reading comes or a MiB of them is there; each
    chunk then goes to the kernel in one call. max_size: bytes; the recording ends
    before it would grow beyond, and ``full`` is true from then on.
    Raises RecordingWriteError where the file cannot be made or written; what
    is on disk then ends with a whole chunk.
    """

    def __init__(self, path: str, identity: Mapping[str, str], areas: tuple[AreaFacts, ...],
                 max_size: int | None = None) -> None:
        self.path = path
        self.full = False
        self.bytes_written = 0
        self.totals = {"batches": 0, "records": 0, "readings": 0}
        self._max_size = max_size
        self._held: list[Batch] = []
        self._held_bytes = 0
        self._phased: list[bytes] = []
        self._fd = _create(path)
        self._write(framing.file_header())
        self._write(framing.pack_chunk(framing.IDENTITY, values.dump({
            "cmaobs": cmaobs.__version__, "wire": wire_layout(), "identity": dict(identity),
            "areas": [readings.area_to_json(area) for area in areas]})))

    def add(self, step: Batch | Reading) -> None:
        """Take a step; does nothing once the recording is full or closed."""
        if self._fd < 0:
            return
        if isinstance(step, Batch):
            if step.phased:
                self._phased.append(step.phased)
            for part in _parts(step):
                if self._held_bytes + len(part.data) > _CHUNK_BYTES:
                    self.flush()
                self._held.append(part)
                self._held_bytes += len(part.data)
            if len(self._held) >= columns.MAX_BATCHES:
                self.flush()
            return
        self.flush()
        data = values.dump(readings.reading_to_json(step))
        if len(data) > framing.MAX_RAW:
            raise RecordingWriteError(
                f"cannot write {self.path}: a reading of {len(data)} bytes of JSON",
                "the areas are too fragmented to be recorded; use check instead of record")
        if self._chunk(framing.READING, data):
            self.totals["readings"] += 1

    def flush(self) -> None:
        """Write the records that were held back."""
        if self._phased and self._fd >= 0:
            phased, self._phased = b"".join(self._phased), []
            for at in range(0, len(phased), _CHUNK_BYTES // RECORD.size * RECORD.size):
                self._chunk(framing.PHASED,
                            phased[at:at + _CHUNK_BYTES // RECORD.size * RECORD.size])
        if not self._held or self._fd < 0:
            return
        if self._chunk(framing.RECORDS, columns.pack(self._held)):
            self.totals["batches"] += len(self._held)
            self.totals["records"] += self._held_bytes // RECORD.size
        self._held, self._held_bytes = [], 0

    def close(self, reason: str = "closed") -> None:
        """Write what was held back and the END chunk; may be called twice."""
        self.flush()
        self._end(reason)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close("closed" if kind is None else "failed")

    def _chunk(self, tag: bytes, data: bytes) -> bool:
        if self._fd < 0:
            return False
        chunk = framing.pack_chunk(tag, data)
        if (self._max_size is not None
                and self.bytes_written + len(chunk) + _END_ROOM > self._max_size):
            self.full = True
            self._end("max-size")
            return False
        self._write(chunk)
        return True

    def _end(self, reason: str) -> None:
        if self._fd < 0:
            return
        self._write(framing.pack_chunk(framing.END,
                                       values.dump({**self.totals, "reason": reason})))
        os.close(self._fd)
        self._fd = -1

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest):]
        except OSError as error:
            self._give_up()
            raise RecordingWriteError(
                f"cannot write {self.path}: {error.strerror}",
                f"its first {self.bytes_written} bytes can be replayed; "
                "make room, or bound it with --max-size") from error
        self.bytes_written += len(data)

    def _give_up(self) -> None:
        try:
            os.ftruncate(self._fd, self.bytes_written)
        except OSError:
            pass  # a reader copes with a chunk that was cut off
        finally:
            os.close(self._fd)
            self._fd = -1


def _parts(batch: Batch) -> list[Batch]:
    """The batch in parts that fit a chunk. Only the last may promise its watermark."""
    step = _CHUNK_BYTES // RECORD.size * RECORD.size
    if len(batch.data) <= step:
        return [batch]
    pieces = [batch.data[i:i + step] for i in range(0, len(batch.data), step)]
    return [*(Batch(piece, 0) for piece in pieces[:-1]), Batch(pieces[-1], batch.watermark_ns)]


def _create(path: str) -> int:
    """A file descriptor of the file, emptied; only a recording is overwritten."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RecordingWriteError(f"cannot write {path}: {error.strerror}",
                                  "name a file in a directory that you may write to") from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise RecordingWriteError(f"cannot write {path}: not a regular file",
                                      "name a file; a recording is not a stream")
        begin = os.read(fd, len(framing.MAGIC))
        if begin and begin != framing.MAGIC:
            raise RecordingWriteError(f"cannot write {path}: it exists and is no recording",
                                      f"name another file, or remove {Path(path).name} first")
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
