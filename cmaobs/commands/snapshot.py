# SPDX-License-Identifier: GPL-2.0
"""Print the areas as they are now.

Reads bitmap, deferred extents and counters from the kernel; probes nothing. Needs root.
"""

from __future__ import annotations

import argparse
import json

from cmaobs import config, report
from cmaobs.commands import running
from cmaobs.observe import Observer
from cmaobs.state import Reading
from cmaobs.verdict import Outcome

EXAMPLES = """examples:
  cmaobs snapshot
  cmaobs snapshot --json | jq '.areas[] | {name, deferred_pages}'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, ("root",))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, or unknown where an area could not be read."""
    source = running.open_live(config.settings(args, buffers=3600.0), probes=False)
    try:
        observer = Observer(source, follow=True)
        any(isinstance(step, Reading) for step in observer.steps())
    finally:
        source.close()
    data = report.snapshot(observer.view)
    print(json.dumps(data, indent=1) if args.json else report.draw_snapshot(data),
          end="\n" if args.json else "")
    return Outcome.UNKNOWN.value if observer.view.faulted else 0
