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
from collections.abc import Sequence
from pathlib import Path

from cmaobs import gathered as reading
from cmaobs.commands import pages, running
from cmaobs.commands.progress import Progress
from cmaobs.errors import NotARecordingError
from cmaobs.gathered import Gathered, check_readable, no_allocation, unusable
from cmaobs.report import whatif as report
from cmaobs.report import whatif_html, whatif_text
from cmaobs.whatif import figures, search
from cmaobs.whatif.demand import Demand
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
        pages.write(args.html, whatif_html.page(data), whatif_html.HEAD, "whatif")
    print(json.dumps(data, indent=1) if args.json else whatif_text.draw(data),
          end="\n" if args.json else "", flush=True)
    return 0


def gathered(files: Sequence[str]) -> tuple[list[Demand], Counter[str]]:
    """The demand of all of them, and what was left out; warnings go to standard error.

    Raises NotARecordingError where nothing can be read of the last that there is.
    """
    check_readable(files)
    found = Gathered()
    for number, path in enumerate(files, 1):
        try:
            with Progress(f"reading {Path(path).name}") as progress:
                one = reading.gathered(path, progress)
        except NotARecordingError as error:
            if number == len(files) and not found.demands:
                raise
            one = unusable(path, error)
        for warning in one.warnings:
            running.say(f"warning: {warning}")
        found.add(one)
    if not found.demands:
        raise no_allocation(files)
    return found.demands, found.left_out
