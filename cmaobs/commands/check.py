# SPDX-License-Identifier: GPL-2.0
"""Observe the running kernel for a while and print the verdict.

Compares every allocation, release and scan, and what the kernel holds when it is at rest,
with the rules of deferred freeing. Needs root.
"""

from __future__ import annotations

import argparse

from cmaobs import config
from cmaobs.commands import running

EXAMPLES = """examples:
  cmaobs check                              ten seconds
  cmaobs check --duration 5m --json
  cmaobs check --record bug.cmarec          keep what was seen, for replay
  cmaobs check --evidence /var/tmp/cma      keep what shows each divergence, for explain
  cmaobs check --policy rfc,merge           adjacent extents may become one
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, (*running.LIVE, *running.JUDGED, "record", "max-size"))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    settings = config.settings(args, duration=10.0, stacks=True)
    store = running.store(settings)
    with running.Stop(settings.duration) as stop:
        source = running.open_live(settings)
        try:
            with running.tee(settings, source) as writer:
                observer = running.observed(settings, source, writer, store)
                running.say(f"observing for {settings.duration:g} s; Ctrl-C ends it sooner")
                stop.begin()
                for _ in observer.steps(stop):
                    pass
        finally:
            source.close()
    running.print_summary(observer.view, args.json)
    return running.exit_status(observer.view)
