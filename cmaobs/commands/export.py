# SPDX-License-Identifier: GPL-2.0
"""Write a recording in the format of another tool: Perfetto's, or Parquet tables.

perfetto: a trace for ui.perfetto.dev, with a slice for each operation by thread, and counters for
each area. parquet: a directory of tables for pandas, DuckDB and their like; needs pyarrow. The
recording is judged as by `replay`, and the verdict goes into the output. Needs no privileges.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cmaobs import config
from cmaobs.commands import running
from cmaobs.commands.progress import Progress
from cmaobs.errors import RecordingError, RecordingWriteError, UsageError
from cmaobs.export import perfetto, sequence, tables
from cmaobs.export.flow import Flow, Sink
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource

EXAMPLES = """examples:
  cmaobs export run.cmarec --format perfetto -o run.pftrace    open in ui.perfetto.dev
  cmaobs export run.cmarec --format parquet -o run             a directory of tables
  duckdb -c "SELECT path, median(duration_ns) FROM 'run/operations.parquet' GROUP BY ALL"
"""

_NAME_ANOTHER = "name another, or remove it first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("file", metavar="FILE", help="a recording")
    parser.add_argument("--format", choices=("perfetto", "parquet"), required=True,
                        help="what to write")
    parser.add_argument("-o", "--output", metavar="OUT", required=True,
                        help="the file to write; with parquet the directory, which is made if it "
                        "is missing; an earlier export there is overwritten")
    config.add_policy(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0; what is before a damaged place is written before the error is raised."""
    source = RecordingSource(args.file)
    try:
        opened = _perfetto if args.format == "perfetto" else _parquet
        with opened(Path(args.output), source) as sink:
            failure = _write(source, sink, args.policy)
    finally:
        source.close()
    if failure is not None:
        raise failure
    totals = source.totals
    running.say(f"{args.output}: {totals['records']} records and {totals['readings']} readings")
    return 0


def _write(source: RecordingSource, sink: Sink, policy: str | None) -> RecordingError | None:
    """Run everything through; the error that ended it before its time."""
    observer = Observer(source, running.checker(source, policy))
    flow = Flow(source.areas, sink)
    failure = None
    with Progress(f"exporting {Path(source.path).name}") as progress:
        try:
            for step in observer.steps():
                flow.add(step)
                progress(source.share)
        except RecordingError as error:
            failure = error
        flow.end(observer.view)
    for warning in observer.view.warnings:
        running.say(f"warning: {warning}")
    return failure


@contextlib.contextmanager
def _perfetto(path: Path, source: RecordingSource) -> Iterator[Sink]:
    """A trace; the file has its name once it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        if path.is_dir() or (path.exists() and not _is_trace(path)):
            raise UsageError(f"cannot write {path}: it exists and is no trace of export",
                             _NAME_ANOTHER)
        file = _create(part)
        try:
            with file:
                yield perfetto.Trace(source.identity, source.areas, file.write)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(error, path) from error


@contextlib.contextmanager
def _parquet(path: Path, source: RecordingSource) -> Iterator[Sink]:
    """A directory of tables, which has its name once all of them are whole."""
    from cmaobs.export import parquet
    ours = {f"{table}.parquet" for table in tables.COLUMNS}
    if path.exists() and not (path.is_dir() and {one.name for one in path.iterdir()} <= ours):
        raise UsageError(f"cannot write {path}: it exists and is no directory of export's tables",
                         _NAME_ANOTHER)
    part = path.with_name(path.name + ".part")
    try:
        part.mkdir()
    except OSError as error:
        raise _failed(error, part) from error
    try:
        with parquet.writing(part) as files:
            yield tables.Tables(source.identity, source.areas, files.add)
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _failed(error: OSError, path: Path) -> RecordingWriteError:
    """What to do where the output cannot be written."""
    remedy = ("remove it: it is left from an export that was killed"
              if isinstance(error, FileExistsError) else
              "name one in a directory that you may write to, and make room")
    return RecordingWriteError(f"cannot write {error.filename or path}: {error.strerror}", remedy)


def _create(part: Path) -> BinaryIO:
    """The file, which must not be there: a link there would be followed."""
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb")


def _is_trace(path: Path) -> bool:
    """Whether the file begins as those that export writes."""
    with path.open("rb") as file:
        return file.read(len(sequence.HEAD)) == sequence.HEAD
