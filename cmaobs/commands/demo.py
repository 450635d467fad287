# SPDX-License-Identifier: GPL-2.0
"""Replay the recording that comes with the package.

Needs no privileges, no special kernel and no network. It was made with `cmaobs record` in the
project's device, a virtual machine whose kernel defers freeing, under a mixed load.
"""

from __future__ import annotations

import argparse
from importlib import resources

from cmaobs.commands import replay, running
from cmaobs.errors import NotARecordingError

EXAMPLES = """examples:
  cmaobs demo
  cmaobs demo --metrics | grep cma_alloc_total
"""

_SHOWS = """A recording of a real kernel, seen as `cmaobs check` saw it there. Look for
- hits against contig: the same allocations from the deferred list and the slow way;
- operations decided: each was compared with the rules of the mechanism, and at rest
  the kernel's bitmap and list were compared with the model page by page;
- the verdict on the last line, which is also the exit status.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    replay.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    file = resources.files("cmaobs").joinpath("data", "demo.cmarec")
    if not file.is_file():
        raise NotARecordingError("this installation holds no demo recording",
                                 "install the package from a release, or record one with "
                                 "`cmaobs record` and replay that")
    if not (args.metrics or args.json):
        running.say(_SHOWS)
    with resources.as_file(file) as path:
        return replay.replay(str(path), args)
