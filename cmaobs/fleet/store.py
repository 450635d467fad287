# SPDX-License-Identifier: GPL-2.0
"""A directory of Parquet files by device and day. The only code that touches duckdb.

    DIR/TABLE/device=NAME/day=YYYY-MM-DD/RECORDING.parquet

A recording that is added again replaces what was there of it.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cmaobs.errors import RecordingWriteError, UsageError
from cmaobs.fleet.questions import PARTS, QUESTIONS, TABLES
from cmaobs.gathered import Told

try:
    import duckdb
except ImportError as error:
    raise UsageError("there is no duckdb, which asks Parquet files",
                     "pip install 'cmaobs[fleet]'") from error

DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION: str = duckdb.__version__

Files = Mapping[str, Sequence[str]]  # by table
Part = Mapping[str, bytes]  # answers to PARTS, as Parquet


class Store:
    """Raises UsageError where the directory holds nothing, RecordingWriteError where it cannot."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def add(self, device: str, day: str, recording: str,
            rows: Mapping[str, Iterable[Sequence[Any]]]) -> None:
        """Rows by table, of one recording. day: YYYY-MM-DD."""
        for table, some in rows.items():
            path = (self._directory / table / f"device={device}" / f"day={day}"
                    / f"{recording}.parquet")
            part = path.with_suffix(".part")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(table, some, part)
                part.replace(path)
            except (OSError, duckdb.Error) as error:
                raise RecordingWriteError(
                    f"cannot write {path}: {' '.join(str(error).split())[:120]}",
                    "name a directory that you may write to") from error

    def parts(self, most: int) -> list[Files]:
        """All the files, in at most so many parts."""
        days: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(
            lambda: {table: [] for table in TABLES})
        for table in TABLES:
            for path in sorted(self._directory.glob(f"{table}/device=*/day=*/*.parquet")):
                days[path.parts[-3], path.parts[-2]][table].append(str(path.absolute()))
        if not any(files["outcomes"] for files in days.values()):
            raise UsageError(f"{self._directory} holds no outcomes",
                             "add recordings: cmaobs fleet DIR --device NAME --add FILE...")
        ordered = [days[key] for key in sorted(days)]
        count = min(most, len(ordered))
        return [{table: [path for files in ordered[number::count] for path in files[table]]
                 for table in TABLES} for number in range(count)]


def part(files: Files, told: Told) -> Part:
    """What is asked of some of the files. Raises UsageError."""
    told(0.0)
    with _connected() as connection, tempfile.TemporaryDirectory() as directory:
        for table, paths in files.items():
            if paths:
                named = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{named}], "
                                   "hive_partitioning = true, hive_types_autocast = false)")
            else:
                columns = {**TABLES[table], "device": "VARCHAR", "day": "VARCHAR"}
                connection.execute(f"CREATE TABLE {table} ({_declared(columns)})")
        found = {}
        for name, question in PARTS.items():
            path = Path(directory, name)
            connection.sql(question).write_parquet(str(path))
            found[name] = path.read_bytes()
        return found


def whole(parts: Iterable[Part]) -> dict[str, list[dict[str, Any]]]:
    """The answers by question, each a list of rows by column. Raises UsageError."""
    with _connected() as connection, tempfile.TemporaryDirectory() as directory:
        for number, one in enumerate(parts):
            for name, data in one.items():
                Path(directory, f"{name}.{number}").write_bytes(data)
        for name in PARTS:
            connection.read_parquet(str(Path(directory, f"{name}.*"))).create_view(name)
        found = {}
        for name, question in QUESTIONS.items():
            answer = connection.sql(question)
            found[name] = [dict(zip(answer.columns, row, strict=True))
                           for row in answer.fetchall()]
        return found


@contextmanager
def _connected() -> Iterator[Any]:
    try:
        with duckdb.connect() as connection:
            yield connection
    except duckdb.Error as error:
        raise UsageError(" ".join(str(error).split())[:200],
                         "remove the file that it names, and add its recording again") from error


def _declared(columns: Mapping[str, str]) -> str:
    return ", ".join(map(" ".join, columns.items()))


def _write(table: str, rows: Iterable[Sequence[Any]], path: Path) -> None:
    columns = TABLES[table]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({_declared(columns)})")
        for row in rows:
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", row)
        connection.table("t").write_parquet(str(path), compression="zstd")
