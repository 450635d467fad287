# SPDX-License-Identifier: GPL-2.0
"""Writes tables as Parquet files, so many rows at a time. The only code that touches pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmaobs.errors import RecordingWriteError, UsageError
from cmaobs.export.tables import COLUMNS, Row

try:
    import pyarrow as pa
    from pyarrow import parquet as pq
except ImportError as error:
    raise UsageError("there is no pyarrow, which writes Parquet",
                     "pip install 'cmaobs[parquet]', or export to perfetto") from error

_ROWS = 1 << 14  # a row group
_TYPES = {"int64": pa.int64(), "uint64": pa.uint64(), "float64": pa.float64(), "bool": pa.bool_(),
          "string": pa.string(), "name": pa.dictionary(pa.int32(), pa.string())}


class Files:
    """One file a table, in a directory."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def create(self, directory: Path) -> None:
        """Begin every file."""
        for table, columns in COLUMNS.items():
            self._writers[table] = pq.ParquetWriter(
                directory / f"{table}.parquet", compression="zstd", schema=pa.schema([
                    pa.field(column.name, _TYPES[column.type], metadata={
                        "unit": column.unit, "meaning": column.meaning}) for column in columns]))

    def add(self, table: str, row: Row) -> None:
        """A row, its values in the order of COLUMNS."""
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= _ROWS:
            self._flush(table)

    def close(self) -> None:
        """Write what was held back, and each file's end."""
        for table, writer in self._writers.items():
            self._flush(table)
            writer.close()

    def abandon(self) -> None:
        """After a failure: else each writer would try once more when it is collected."""
        for writer in self._writers.values():
            writer.is_open = False

    def _flush(self, table: str) -> None:
        rows, writer = self._rows[table], self._writers[table]
        if rows:
            columns = [pa.array(_texts(values) if column.type in ("string", "name") else values,
                                _TYPES[column.type])
                       for values, column in zip(zip(*rows, strict=True), COLUMNS[table],
                                                 strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
            rows.clear()


def _texts(values: tuple[object, ...]) -> list[str | None]:
    """As UTF-8 takes them: half a surrogate pair, which JSON can hold, becomes a question mark."""
    return [None if value is None else str(value).encode("utf-8", "replace").decode()
            for value in values]


@contextmanager
def writing(directory: Path) -> Iterator[Files]:
    """Files that are closed at the end; raises RecordingWriteError where they cannot be written."""
    files = Files()
    try:
        files.create(directory)
        yield files
        files.close()
    except OSError as error:
        raise RecordingWriteError(f"cannot write to {directory}: {error.strerror or error}",
                                  "make room, or name another directory") from error
    finally:
        files.abandon()
