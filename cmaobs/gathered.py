# SPDX-License-Identifier: GPL-2.0
"""Reads recordings for `whatif` and `fleet`: their demand, and what of them is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cmaobs.errors import NotARecordingError, RecordingError, UsageError
from cmaobs.recording import RecordingSource
from cmaobs.whatif import quick
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.gather import Gather

Told = Callable[[float], None]  # the share that is done, from 0 to 1


@dataclass(slots=True)
class Gathered:
    """demands: one for each area that was asked for pages. left_out: what was not used, and how
    often. warnings: a line each.
    """

    demands: list[Demand] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: Gathered) -> None:
        """Those of a further recording."""
        self.demands += other.demands
        self.left_out.update(other.left_out)
        self.warnings += other.warnings


def check_readable(paths: Iterable[str]) -> None:
    """Before any is read for minutes; raises NotARecordingError where one cannot be opened."""
    for path in paths:
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise NotARecordingError(f"cannot read {path}: {error.strerror}",
                                     "give a file that `cmaobs record` or `--record` wrote"
                                     ) from error


def gathered(path: str, told: Told) -> Gathered:
    """Of one recording. Raises NotARecordingError; of a damaged one what comes before is used."""
    source = RecordingSource(path)
    if quick.takes(source.areas):
        try:
            return _gathered(source, quick.Quick(path, source.identity, source.areas), told)
        except quick.BeyondError:
            source.close()
            source = RecordingSource(path)
    return _gathered(source, Gather(path, source.identity, source.areas), told)


def _gathered(source: RecordingSource, gather: Gather | quick.Quick, told: Told) -> Gathered:
    found = Gathered()
    name = Path(source.path).name
    try:
        for step in source.steps():
            gather.add(step)
            told(source.share)
    except RecordingError as error:
        found.warnings.append(f"{error.message}; what comes before is used")
        found.left_out[f"recordings that are damaged ({name})"] += 1
    finally:
        source.close()
    found.warnings += source.warnings
    if source.warnings:
        found.left_out[f"recordings that were cut off ({name})"] += 1
    demands = gather.demands()
    found.demands = [demand for demand in demands if demand.counted]
    for counts in (gather.left_out, *(demand.left_out for demand in demands)):
        found.left_out.update(counts)
    return found


def unusable(path: str, error: RecordingError) -> Gathered:
    """In place of a recording that nothing can be read of, beside others."""
    return Gathered(warnings=[f"{error.message}; it is left out"], left_out=Counter(
        {f"recordings of which nothing can be read ({Path(path).name})": 1}))


def no_allocation(paths: Iterable[str]) -> UsageError:
    """What to raise where none of them has a demand."""
    return UsageError(f"no allocation in {', '.join(paths)}",
                      "record a time in which the device allocates from CMA")
