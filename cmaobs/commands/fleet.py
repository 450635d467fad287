# SPDX-License-Identifier: GPL-2.0
"""Ask what whatif foretells for many devices at once: which gain, which lose, who stands out.

`--add` foretells for recordings of one device, as `whatif` does, and keeps the outcomes as Parquet
files by device and day; needs duckdb. The report is over all that the directory holds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cmaobs.commands import running
from cmaobs.commands.progress import Progress
from cmaobs.errors import CmaobsError, UsageError
from cmaobs.gathered import Told, check_readable
from cmaobs.report import fleet as drawing
from cmaobs.whatif.rules import named

EXAMPLES = """examples:
  cmaobs fleet outcomes --device kitchen-07 --add kitchen-07/*.cmarec
  cmaobs fleet outcomes                          which devices gain, kernels, callers
  cmaobs fleet outcomes --json
  cmaobs fleet /srv/outcomes --scheduler tcp://cluster:8786
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
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help="work on the workers of this Dask scheduler, such as tcp://host:8786, "
                        "which have the same files at the same paths; default: here")
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0."""
    from cmaobs.fleet import store
    if args.add and not (args.device and store.DEVICE.fullmatch(args.device)):
        raise UsageError(f"--device {args.device or 'is missing'}",
                         "name the device: up to 64 letters, digits, dots, dashes")
    if args.batch < 1:
        raise UsageError(f"batch {args.batch}", "give a number of pages above 0")
    for name in args.policy:
        if args.scheduler and ".py:" in name and not Path(name).is_absolute():
            raise UsageError(f"policy {name}: workers run elsewhere",
                             "give the file's absolute path, at which every worker has it")
        named(name)
    check_readable(args.add)
    kept = store.Store(args.directory)
    engine = _engine(args.scheduler)
    try:
        if args.add:
            _add(kept, args, engine)
        with Progress("asking") as progress:
            data = store.whole(engine.each(store.part, kept.parts(engine.parts), progress))
    finally:
        engine.close()
    print(json.dumps(data, indent=1) if args.json else drawing.draw(data),
          end="\n" if args.json else "", flush=True)
    return 0


def _engine(scheduler: str | None) -> Any:
    if scheduler is None:
        return Here()
    from cmaobs.fleet.cluster import Cluster
    return Cluster(scheduler)


class Here:
    """Work in this process; as cmaobs.fleet.cluster.Cluster."""

    parts = 1

    def each(self, work: Callable[[Any, Told], Any], items: Sequence[Any], told: Told
             ) -> list[Any]:
        """work(item) of each."""
        def of(number: int) -> Told:
            return lambda share: told((number + share) / len(items))
        return [work(item, of(number)) for number, item in enumerate(items)]

    def close(self) -> None:
        """Nothing to do."""


def _add(kept: Any, args: argparse.Namespace, engine: Any) -> None:
    from cmaobs.fleet.foretold import Job, foretold
    workers = 1 if args.scheduler else None
    jobs = [Job(str(Path(path).absolute()), args.policy, args.batch, workers) for path in args.add]
    with Progress("foretelling") as progress:
        found = engine.each(foretold, jobs, progress)
    unusable = [one for one in found if isinstance(one, CmaobsError)]
    if len(unusable) == len(found):
        raise unusable[0]
    for one in unusable:
        running.say(f"warning: {one.message}; it is left out")
    for one in found:
        if not isinstance(one, CmaobsError):
            for warning in one.warnings:
                running.say(f"warning: {warning}")
            kept.add(args.device, one.day, one.name, one.rows)
