# SPDX-License-Identifier: GPL-2.0
"""What whatif foretells of one recording, as rows to be kept. Runs here or on a worker."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cmaobs.errors import CmaobsError, NotARecordingError
from cmaobs.gathered import Gathered, Told, check_readable, gathered, no_allocation
from cmaobs.report.whatif import compared
from cmaobs.whatif import figures, search
from cmaobs.whatif.demand import Demand

Row = tuple[Any, ...]


class Job(NamedTuple):
    """policies: their names. batch: pages. workers: as in search.outcomes()."""

    path: str
    policies: Sequence[str]
    batch: int
    workers: int | None


class Foretold(NamedTuple):
    """day: on which the recording begins, in UTC. name: of its file. rows: by table."""

    day: str
    name: str
    rows: Mapping[str, list[Row]]
    warnings: Sequence[str]


def foretold(job: Job, told: Told) -> Foretold | CmaobsError:
    """Or why the recording cannot be used. Raises NotARecordingError where it cannot be opened, and
    what search raises.
    """
    check_readable([job.path])
    try:
        found = gathered(job.path, lambda share: told(share / 2))
    except NotARecordingError as error:
        return error
    demands = found.demands
    if not demands:
        return no_allocation([job.path])
    drawn = figures.Figures(demands, figures.shipped())
    wanted = search.tasks(job.policies, [job.batch], demands, False)
    outcomes = search.outcomes(wanted, demands, drawn, lambda share: told((1 + share) / 2),
                               job.workers)
    day = datetime.datetime.fromtimestamp(demands[0].wall_s, datetime.UTC).date().isoformat()
    path = Path(job.path)
    return Foretold(day, re.sub(r"[^A-Za-z0-9._-]", "_", path.stem), {
        "outcomes": list(_outcomes(path.name, demands, outcomes)),
        "callers": list(_callers(path.name, demands)),
        "left_out": list(_left_out(path.name, found))}, found.warnings)


def _outcomes(name: str, demands: Sequence[Demand], found: Sequence[Mapping[str, Any]]
              ) -> Iterator[Row]:
    """Rows in the order of fleet.questions.OUTCOMES."""
    longest = max((demand.end_ns - demand.start_ns) / 1e9 for demand in demands)
    for one in found:
        times = one["latency"] or {}
        quantiles = [times[key][side] if key in times else None
                     for key in ("p50_s", "p99_s") for side in ("value", "low", "high")]
        ratio = one["hit_ratio"] or {"low": None, "high": None}
        yield (name, demands[0].kernel, demands[0].patched, longest, one["policy"], one["batch"],
               one["asks"], one["hits"], one["contig"], one["failed"], one["would_succeed"],
               one["would_fail"], ratio["low"], ratio["high"], *quantiles,
               one["withheld_pages"]["mean"], one["withheld_pages"]["peak"],
               one["reclaim"]["flushed_pages"], one["reclaim"]["scanned_pages"],
               compared(found[0], one))


def _callers(name: str, demands: Sequence[Demand]) -> Iterator[Row]:
    """Rows in the order of fleet.questions.CALLERS."""
    for demand in demands:
        for comm, (asks, pages, failed, ns) in demand.callers.items():
            yield name, comm, asks, pages, failed, ns / 1e9


def _left_out(name: str, found: Gathered) -> Iterator[Row]:
    """Rows in the order of fleet.questions.LEFT_OUT."""
    for what, times in sorted(found.left_out.items()):
        yield name, what.removesuffix(f" ({name})"), times
