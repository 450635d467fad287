# SPDX-License-Identifier: GPL-2.0
"""Replay a recording: the same path, verdict and metrics as on the live kernel.

Needs no privileges. A recording whose tail was cut off is replayed as far as it goes.
"""

from __future__ import annotations

import argparse
import sys

from cmaobs import config, metrics
from cmaobs.commands import running
from cmaobs.commands.progress import run_through
from cmaobs.errors import RecordingError
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource

EXAMPLES = """examples:
  cmaobs replay run.cmarec
  cmaobs replay run.cmarec --json
  cmaobs replay run.cmarec --metrics        as /metrics showed them at the end
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("file", metavar="FILE", help="a recording")
    config.add_policy(parser)
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    """What replay and demo can print."""
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--metrics", action="store_true",
                        help="print metrics in Prometheus's text format")
    output.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    return replay(args.file, args)


def replay(path: str, args: argparse.Namespace) -> int:
    """Replay and print; what was read of a damaged file is printed before the error is raised."""
    source = RecordingSource(path)
    observer = Observer(source, running.checker(source, getattr(args, "policy", None)), follow=True)
    try:
        run_through(observer, source, "replaying")
    except RecordingError:
        _print(observer, args)
        raise
    finally:
        source.close()
    _print(observer, args)
    return running.exit_status(observer.view)


def _print(observer: Observer, args: argparse.Namespace) -> None:
    if args.metrics:
        sys.stdout.write(metrics.exposition(observer.view).decode())
        for warning in observer.view.warnings:
            running.say(f"warning: {warning}")
    else:
        running.print_summary(observer.view, args.json)
