# SPDX-License-Identifier: GPL-2.0
"""Reads a recording as a Source: the same steps, in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from cmaobs.errors import CorruptError, NotARecordingError
from cmaobs.events import RECORD
from cmaobs.recording import columns, framing, readings, values
from cmaobs.recording.writer import older_layouts, wire_layout
from cmaobs.sanity import areas_fault
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading

_NOT_OURS = "give a file that `cmaobs record` or `--record` wrote"
_DAMAGED = "copy it again from where it was made; what was read before that place is reported"


class RecordingSource:
    """A recording, stepped once from its beginning to its end.

    warnings: what is missing at its tail, one line each, known once steps() ended.
    end_reason: why the writer ended it; empty where its tail was cut off.
    Raises NotARecordingError where the file cannot be opened or its first
    chunk is not there, and CorruptError from steps() where bytes are wrong.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.warnings: list[str] = []
        self.end_reason = ""
        self.totals = {"batches": 0, "records": 0, "readings": 0}
        self._offset = framing.FILE_SIZE
        try:
            # Open for as long as steps() is used, hence no with.
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115, PTH123
        except OSError as error:
            raise NotARecordingError(f"cannot read {path}: {error.strerror}",
                                     _NOT_OURS) from error
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._identity, self._areas = self._begin()
        except BaseException:
            self._file.close()
            raise

    @property
    def identity(self) -> Mapping[str, str]:
        """What was observed, as the live source said it."""
        return self._identity

    @property
    def areas(self) -> tuple[AreaFacts, ...]:
        """The kernel's areas."""
        return self._areas

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return min(self._offset / self._size, 1.0) if self._size else 1.0

    def steps(self) -> Iterator[Batch | Reading]:
        """Each batch and reading; ends early, with a warning, where the tail was cut off.

        Closes the file at its end.
        """
        try:
            yield from self._steps()
        finally:
            self.close()

    def _steps(self) -> Iterator[Batch | Reading]:
        by_index = {area.index: area for area in self._areas}
        while not self.end_reason:
            try:
                chunk, self._offset = framing.read_chunk(self._file, self._offset)
                if chunk is None:
                    raise framing.CutOffError(self._offset, "no end marker")
            except framing.CutOffError as error:
                self.warnings.append(
                    f"{self.path} was cut off at byte {error.offset} ({error}): "
                    f"{self.totals['records']} records and {self.totals['readings']} readings "
                    f"before it were read")
                return
            except framing.FrameError as error:
                raise self._corrupt(error.offset, str(error)) from error
            except OSError as error:
                raise self._corrupt(self._offset, str(error.strerror)) from error
            try:
                yield from self._steps_of(chunk, by_index)
            except ValueError as error:
                raise self._corrupt(chunk.offset, str(error)) from error
        if self._file.read(1):
            raise self._corrupt(self._offset, "bytes behind the end marker")

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _begin(self) -> tuple[dict[str, str], tuple[AreaFacts, ...]]:
        try:
            framing.check_file_header(self._file.read(framing.FILE_SIZE))
            chunk, self._offset = framing.read_chunk(self._file, self._offset)
        except framing.OtherVersionError as error:
            raise NotARecordingError(f"{self.path} is a recording of {error}",
                                     "replay it with the cmaobs that made it") from error
        except framing.CutOffError as error:
            raise NotARecordingError(f"{self.path} was cut off before anything was recorded",
                                     "record again") from error
        except framing.FrameError as error:
            raise NotARecordingError(f"{self.path} at byte {error.offset}: {error}",
                                     _NOT_OURS) from error
        except OSError as error:
            raise NotARecordingError(f"cannot read {self.path}: {error.strerror}",
                                     _NOT_OURS) from error
        if chunk is None or chunk.tag != framing.IDENTITY:
            raise NotARecordingError(f"{self.path} was cut off before anything was recorded",
                                     "record again")
        try:
            value = values.load(chunk.data)
            if value.get("wire") not in (wire_layout(), *older_layouts()):
                raise self._other_wire(value)
            self._record_bytes = int(value["wire"]["record_bytes"])
            areas = tuple(map(readings.area_from_json, values.items(value, "areas")))
            if len({area.index for area in areas}) < len(areas):
                raise ValueError("areas: the same index twice")
            if fault := areas_fault(areas):
                raise ValueError(fault)
            return values.strings(value, "identity"), areas
        except ValueError as error:
            raise self._corrupt(chunk.offset, str(error)) from error

    def _other_wire(self, value: Any) -> NotARecordingError:
        theirs = value.get("wire")
        version = theirs.get("version") if isinstance(theirs, dict) else None
        return NotARecordingError(
            f"{self.path} holds records of wire version {str(version)[:20]} as cmaobs "
            f"{str(value.get('cmaobs'))[:20]} laid them out, which this cmaobs does not read",
            "replay it with the cmaobs that made it")

    def _steps_of(self, chunk: framing.Chunk,
                  areas: Mapping[int, AreaFacts]) -> Iterator[Batch | Reading]:
        if chunk.tag == framing.RECORDS:
            for batch in columns.unpack(chunk.data, self._record_bytes):
                self.totals["batches"] += 1
                self.totals["records"] += len(batch.data) // RECORD.size
                yield batch
        elif chunk.tag == framing.READING:
            reading = readings.reading_from_json(values.load(chunk.data), areas)
            self.totals["readings"] += 1
            yield reading
        elif chunk.tag == framing.PHASED:
            if len(chunk.data) % RECORD.size:
                raise ValueError("phases of allocations: not whole structs")
            yield Batch(b"", 0, chunk.data)
        elif chunk.tag == framing.END:
            end = values.load(chunk.data)
            said = {key: end.get(key) for key in self.totals}
            if said != self.totals:
                raise ValueError(f"end marker counts {said}, read were {self.totals}")
            self.end_reason = str(end.get("reason")) or "closed"
        else:
            raise ValueError("a second identity")

    def _corrupt(self, offset: int, what: str) -> CorruptError:
        return CorruptError(f"{self.path} is damaged at byte {offset}: {what}", _DAMAGED)
