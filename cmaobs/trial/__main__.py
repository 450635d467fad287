# SPDX-License-Identifier: GPL-2.0
"""Run the same load with deferred freeing off and on, and keep a recording of each run.

Needs root, a kernel that defers, and an area with a dma-buf heap. Nothing else should use the
area meanwhile. `cmaobs report` makes a report of what it leaves.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cmaobs.commands.progress import Progress
from cmaobs.errors import CmaobsError
from cmaobs.trial import conduct, plan

EXAMPLES = """examples:
  python -m cmaobs.trial -o runs
  python -m cmaobs.trial -o runs --scale quick
  cmaobs report runs/manifest.json -o report
"""


def main() -> int:
    """Exit status: 0 done, 2 error."""
    parser = argparse.ArgumentParser(prog="python -m cmaobs.trial", description=__doc__,
                                     epilog=EXAMPLES, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="for recordings and their manifest")
    parser.add_argument("--scale", choices=sorted(plan.SCALES), default="full",
                        help="how much is run; default: full")
    parser.add_argument("--area", metavar="NAME", help="default: reserved, or the first")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="default: 1")
    parser.add_argument("--minutes", metavar="N", type=float, default=float("inf"),
                        help="begin no repetition that would end later; default: no limit")
    args = parser.parse_args()
    try:
        with Progress("trial", shown=os.environ.get("CMAOBS_PROGRESS") == "yes" or None) as shown:
            made = conduct.conduct(args.output, plan.SCALES[args.scale], args.area, args.seed,
                                   args.minutes * 60, shown)
    except CmaobsError as error:
        print(f"error: {error.message}\n  remedy: {error.remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"{args.output}: {len(made.runs)} runs; {len(made.left_out)} settings left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
