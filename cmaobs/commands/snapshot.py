# SPDX-License-Identifier: GPL-2.0
"""Print the areas as they are now.

Reads bitmap, deferred extents and counters from the kernel, and from /proc/kpageflags what of the
rest is lent to movable users; probes nothing. Needs root.
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
  cmaobs snapshot --grain pageblock         the map with a pageblock a character
  cmaobs snapshot --json | jq '.areas[] | {name, deferred_pages, fragmentation}'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, ("root",))
    parser.add_argument("--grain", choices=("page", "pageblock"),
                        help="pages a character of the map (default: as many as make it fit)")
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, or unknown where an area could not be read."""
    settings = config.settings(args, buffers=3600.0, lent=3600.0)
    grain = _grain(args.grain, settings.root)
    source = running.open_live(settings, probes=False)
    try:
        observer = Observer(source, follow=True)
        any(isinstance(step, Reading) for step in observer.steps())
    finally:
        source.close()
    data = report.snapshot(observer.view)
    print(json.dumps(data, indent=1) if args.json else report.draw_snapshot(data, grain),
          end="\n" if args.json else "")
    return Outcome.UNKNOWN.value if observer.view.faulted else 0


def _grain(name: str | None, root: str) -> int | None:
    from cmaobs.kernel.page_flags import pageblock_pages
    if name is None:
        return None
    return 1 if name == "page" else pageblock_pages(root)
