# SPDX-License-Identifier: GPL-2.0
"""Ask what whatif foretells for many devices at once: which gain, which lose, who stands out.

`--add` foretells for recordings of one device, as `whatif` does, and keeps the outcomes as Parquet
files by device and day; needs duckdb. The report is over all that the directory holds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmaobs.commands import running
from cmaobs.commands.progress import Progress
from cmaobs.commands.whatif import gathered
from cmaobs.errors import UsageError
from cmaobs.report import fleet as drawing
from cmaobs.report.whatif import compared
from cmaobs.whatif import figures, search
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.rules import named

EXAMPLES = """examples:
  cmaobs fleet outcomes --device kitchen-07 --add kitchen-07/*.cmarec
  cmaobs fleet outcomes                          which devices gain, kernels, callers
  cmaobs fleet outcomes --json
  duckdb -c "SELECT device, policy, hits FROM 'outcomes/outcomes/*/*/*.parquet'"
"""

_POLICIES = ("rfc", "prefer-deferred", "flush-overlap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("directory", metavar="DIR", help="what is kept; made if it is missing")
    parser.add_argument("--add", metavar="RECORDING", nargs="+", default=[],
                        help="recordings of one device")
    parser.add_argument("--device", metavar="NAME",
                        help="the device that they are of: letters, digits, . _ -")
    parser.add_argument("--policy", metavar="POLICY", nargs="+", default=list(_POLICIES),
                        help=f"foretell for these, as in whatif; default: {' '.join(_POLICIES)}")
    parser.add_argument("--batch", metavar="N", type=int, default=64,
                        help="pages; default 64")
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0."""
    from cmaobs.fleet.store import DEVICE, Store
    if args.add and not (args.device and DEVICE.fullmatch(args.device)):
        raise UsageError(f"--device {args.device or 'is missing'}",
                         "name the device: up to 64 letters, digits, dots, dashes")
    if args.batch < 1:
        raise UsageError(f"batch {args.batch}", "give a number of pages above 0")
    for name in args.policy:
        named(name)
    store = Store(args.directory)
    with Progress("foretelling") as progress:
        for number, path in enumerate(args.add):
            _add(store, args, path)
            progress((number + 1) / len(args.add))
    data = store.ask()
    print(json.dumps(data, indent=1) if args.json else drawing.draw(data),
          end="\n" if args.json else "", flush=True)
    return 0


def _add(store: Any, args: argparse.Namespace, path: str) -> None:
    demands, _ = gathered([path])
    drawn = figures.Figures(demands, figures.shipped())
    wanted = search.tasks(args.policy, [args.batch], demands, False)
    found = search.outcomes(wanted, demands, drawn, lambda _: None)
    day = datetime.datetime.fromtimestamp(demands[0].wall_s, datetime.UTC).date().isoformat()
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", Path(path).stem)
    store.add(args.device, day, stem, {
        "outcomes": _outcomes(Path(path).name, demands, found),
        "callers": _callers(Path(path).name, demands)})


def _outcomes(name: str, demands: Sequence[Demand], found: Sequence[Mapping[str, Any]]
              ) -> Iterator[tuple[Any, ...]]:
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


def _callers(name: str, demands: Sequence[Demand]) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of fleet.questions.CALLERS."""
    for demand in demands:
        for comm, (asks, pages, failed, ns) in demand.callers.items():
            yield name, comm, asks, pages, failed, ns / 1e9
