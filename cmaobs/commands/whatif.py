# SPDX-License-Identifier: GPL-2.0
"""Foretell from recordings what deferred freeing, or another policy, would do for their load.

The recorded demand goes through the reference model under each policy: hits, failures, latency of
cma_alloc, pages withheld, reclaim's work and fragmentation, with how sure each is. A recording of a
kernel without the patch will do. Needs no privileges.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from cmaobs.commands import running
from cmaobs.commands.progress import Progress
from cmaobs.errors import RecordingError, UsageError
from cmaobs.recording import RecordingSource
from cmaobs.report import whatif as report
from cmaobs.report import whatif_html, whatif_text
from cmaobs.whatif import figures, search
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.gather import Gather
from cmaobs.whatif.rules import KNOWN, USUAL, named

EXAMPLES = """examples:
  cmaobs whatif day.cmarec                                 the usual policies with batch 64
  cmaobs whatif *.cmarec --policy rfc --batch 16 64 512    one policy, several batches
  cmaobs whatif day.cmarec --objective p99                 search policies and batches
  cmaobs whatif day.cmarec --policy mine.py:Mine           a policy of your own
  cmaobs whatif day.cmarec --html compared.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("files", metavar="RECORDING", nargs="+", help="recordings, of any devices")
    parser.add_argument("--policy", metavar="POLICY", nargs="+", default=[],
                        help=f"any of: {KNOWN}; default: {' '.join(USUAL)}")
    parser.add_argument("--batch", metavar="N", nargs="+", type=_batch, default=[],
                        help="pages; the batch of every policy that defers; default 64, with "
                        "--objective 16 64 256 1024")
    parser.add_argument("--objective", choices=search.OBJECTIVES,
                        help="search policies and batches for the least p99, the most hits, or the "
                        "fewest pages withheld at nearly the most hits")
    parser.add_argument("--html", metavar="FILE", help="write a page that compares the policies")
    running.add_json(parser)


def _batch(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 40:
        raise argparse.ArgumentTypeError(f"expected a number of pages above 0, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0."""
    for name in args.policy:
        named(name)
    demands, left_out = gathered(args.files)
    searching = args.objective is not None
    wanted = search.tasks(
        args.policy or ([] if searching else USUAL),
        args.batch or (search.BATCHES if searching else (64,)), demands, searching)
    drawn = figures.Figures(demands, figures.shipped())
    with Progress(f"{len(wanted)} policies") as progress:
        found = search.outcomes(wanted, demands, drawn, progress)
    data = report.report(demands, found, drawn, left_out, args.objective)
    if args.html:
        _write(Path(args.html), whatif_html.page(data))
    print(json.dumps(data, indent=1) if args.json else whatif_text.draw(data),
          end="\n" if args.json else "", flush=True)
    return 0


def gathered(files: list[str]) -> tuple[list[Demand], Counter[str]]:
    """The demand of all of them, and what was left out.

    Raises NotARecordingError; of a damaged recording what comes before the damage is used.
    """
    demands: list[Demand] = []
    left_out: Counter[str] = Counter()
    for path in files:
        source = RecordingSource(path)
        gather = Gather(path, source.identity, source.areas)
        try:
            with Progress(f"reading {Path(path).name}") as progress:
                for step in source.steps():
                    gather.add(step)
                    progress(source.share)
        except RecordingError as error:
            running.say(f"warning: {error.message}; what comes before is used")
            left_out[f"recordings that are damaged ({Path(path).name})"] += 1
        finally:
            source.close()
        for warning in source.warnings:
            running.say(f"warning: {warning}")
            left_out[f"recordings that were cut off ({Path(path).name})"] += 1
        demands += gather.demands()
        left_out.update(gather.left_out)
    for demand in demands:
        left_out.update(demand.left_out)
    demands = [demand for demand in demands if demand.counted]
    if not demands:
        raise UsageError(f"no allocation in {', '.join(files)}",
                         "record a time in which the device allocates from CMA")
    return demands, left_out


def _write(path: Path, text: str) -> None:
    """The page; only one of ours is overwritten."""
    try:
        if path.exists() and not path.read_bytes().startswith(whatif_html.HEAD.encode()):
            raise UsageError(f"cannot write {path}: it exists and is no page of whatif",
                             "name another file, or remove it first")
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}",
                         "name a file in a directory that you may write to") from error
