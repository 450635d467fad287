# SPDX-License-Identifier: GPL-2.0
"""A directory of Parquet files by device and day. The only code that touches duckdb.

    DIR/TABLE/device=NAME/day=YYYY-MM-DD/RECORDING.parquet

A recording that is added again replaces what was there of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmaobs.errors import RecordingWriteError, UsageError
from cmaobs.fleet.questions import QUESTIONS, TABLES

try:
    import duckdb
except ImportError as error:
    raise UsageError("there is no duckdb, which asks Parquet files",
                     "pip install 'cmaobs[fleet]'") from error

DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
                self._write(table, some, part)
                part.replace(path)
            except (OSError, duckdb.Error) as error:
                raise RecordingWriteError(
                    f"cannot write {path}: {' '.join(str(error).split())[:120]}",
                    "name a directory that you may write to") from error

    def ask(self) -> dict[str, list[dict[str, Any]]]:
        """The answers by question, each a list of rows by column."""
        if not next(self._directory.glob("outcomes/*/*/*.parquet"), None):
            raise UsageError(f"{self._directory} holds no outcomes",
                             "add recordings: cmaobs fleet DIR --device NAME --add FILE...")
        found = {}
        try:
            with duckdb.connect() as connection:
                for table in TABLES:
                    connection.from_parquet(
                        str(self._directory / table / "*/*/*.parquet"), hive_partitioning=True
                    ).create_view(table)
                for name, question in QUESTIONS.items():
                    answer = connection.sql(question)
                    found[name] = [dict(zip(answer.columns, row, strict=True))
                                   for row in answer.fetchall()]
        except duckdb.Error as error:
            raise UsageError(f"{self._directory}: {' '.join(str(error).split())[:160]}",
                             "remove the file that it names, and add its recording again"
                             ) from error
        return found

    @staticmethod
    def _write(table: str, rows: Iterable[Sequence[Any]], path: Path) -> None:
        columns = TABLES[table]
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE t ({', '.join(map(' '.join, columns.items()))})")
            for row in rows:
                connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", row)
            connection.table("t").write_parquet(str(path), compression="zstd")
