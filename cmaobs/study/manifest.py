# SPDX-License-Identifier: GPL-2.0
"""What was run: a JSON file beside the recordings, written by cmaobs.trial and read here.

    {"format": 1, "cmaobs": ..., "host": {...}, "runs": [...], "left_out": [...],
     "instructions": [...]}

A run is one recording, of one load with one setting. What is not known is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import cmaobs
from cmaobs.errors import UsageError

NAME = "manifest.json"
FORMAT = 1
_REMEDY = "make the runs again with `make report`, or report the recordings without a manifest"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One recording of the same load as its pair's, but for batch.

    question: what the run is made to answer (size, batch, threads). condition: idle, pressure or
    fragmented. batch: pages. sizes: as --sizes of the load maker. repetition: from 0; runs that
    differ in batch only have the same seed, so the same requests. load: the load maker's summary.
    vmstat: the kernel's counts just before and just after the load. seconds: of the load.
    """

    recording: str
    question: str
    condition: str
    batch: int
    threads: int
    sizes: str
    operations: int
    seed: int
    repetition: int
    seconds: float
    load: Mapping[str, Any]
    vmstat: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A setting that was not run, and why."""

    question: str
    condition: str
    threads: int
    sizes: str
    why: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions of one cma_alloc or cma_release through debugfs, each round of each boot.

    operation: alloc or release. The system call's own are among them.
    """

    boot: int
    batch: int
    operation: str
    pages: int
    instructions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that was run. host: kernel, config and machine, as text by name."""

    directory: Path
    host: Mapping[str, str]
    runs: tuple[Run, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    counted: tuple[Counted, ...] = field(default=())

    def dump(self) -> str:
        """As the file has it."""
        return json.dumps({
            "format": FORMAT, "cmaobs": cmaobs.__version__, "host": dict(self.host),
            "runs": [asdict(run) for run in self.runs],
            "left_out": [asdict(one) for one in self.left_out],
            "instructions": [asdict(one) for one in self.counted]}, indent=1) + "\n"


def load(path: Path) -> Manifest:
    """Read a manifest. Raises UsageError where it is none, or names a recording that is missing."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MiB")
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"format is not {FORMAT}")
        host = {str(key): str(text) for key, text in _of(value, "host", dict).items()}
        found = Manifest(
            path.parent, host,
            tuple(_run(one, place) for place, one in enumerate(_of(value, "runs", list))),
            tuple(_row(LeftOut, one, "left_out") for one in _of(value, "left_out", list)),
            tuple(_counted(one) for one in _of(value, "instructions", list)))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", _REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a manifest: {error}", _REMEDY) from error
    for run in found.runs:
        if not (path.parent / run.recording).is_file():
            raise UsageError(f"{path} names {run.recording!r}, which is not beside it",
                             "copy the whole directory, or make the runs again")
    return found


_KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "Mapping[str, Any]": (dict,),
    "Mapping[str, tuple[int, int]]": (dict,), "tuple[int, ...]": (list,)}


def _of(value: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(value.get(key), kind):
        raise ValueError(f"{key} is missing")
    return value[key]


def _row(kind: type, value: object, what: str) -> Any:
    """A dataclass of a JSON object that has all its fields, of their types."""
    if not isinstance(value, dict):
        raise ValueError(f"{what}: not an object")
    found = {}
    for one in fields(kind):
        wanted = _KINDS[str(one.type)]
        if not isinstance(value.get(one.name), wanted) or isinstance(value[one.name], bool):
            raise ValueError(f"{what}: {one.name} is missing, or is not what it should be")
        found[one.name] = value[one.name]
    return kind(**found)


def _run(value: object, place: int) -> Run:
    what = f"runs[{place}]"
    run: Run = _row(Run, value, what)
    pairs: list[Any] = list(run.vmstat.values())
    if Path(run.recording).name != run.recording:
        raise ValueError(f"{what}: recording is not the name of a file beside the manifest")
    if not all(isinstance(pair, list) and [type(one) for one in pair] == [int, int]
               for pair in pairs):
        raise ValueError(f"{what}: vmstat is not pairs of numbers")
    if not 0 < run.seconds < float("inf"):
        raise ValueError(f"{what}: seconds is not above 0")
    pressure = run.load.get("pressure", {})
    if not isinstance(pressure, dict) or not all(
            isinstance(pressure.get(key, 0), (int, float)) for key in ("refilled", "refilling_s")):
        raise ValueError(f"{what}: pressure is not what it should be")
    return run


def _counted(value: object) -> Counted:
    one: Counted = _row(Counted, value, "instructions")
    if not one.instructions or not all(type(number) is int for number in one.instructions):
        raise ValueError("instructions: not a list of numbers")
    return one
