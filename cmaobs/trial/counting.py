# SPDX-License-Identifier: GPL-2.0
"""Instructions of an allocation and of its release, by path and size. Run it under QEMU's icount,
where a nanosecond of guest time is one instruction:

    deploy/vm/run --icount -- python -m cmaobs.trial.counting --boot 1 runs/manifest.json

No probes: what is counted is the kernel, with the system call through debugfs around it. All
rounds are kept: a timer's interrupt falls into some of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from cmaobs.errors import CmaobsError
from cmaobs.load.area import Area, find
from cmaobs.load.targets import Debugfs
from cmaobs.study import manifest
from cmaobs.study.manifest import Counted

SIZES = (1, 16, 256, 1024, 4096)
ROUNDS = 25
_BATCHES = (0, 64)


def count(area: Area, pages: int) -> tuple[list[int], list[int]]:
    """Of each round what the allocation and the release took."""
    target = Debugfs(area)
    clock = time.monotonic_ns
    allocs, releases = [], []
    try:
        target.release(target.alloc(pages))  # what is slow the first time is over then
        for _ in range(ROUNDS):
            begin = clock()
            handle = target.alloc(pages)
            middle = clock()
            target.release(handle)
            end = clock()
            allocs.append(middle - begin)
            releases.append(end - middle)
    finally:
        target.close()
    return allocs, releases


def all_counts(area: Area, boot: int) -> list[Counted]:
    """By batch and size; batch is put back."""
    was = area.batch.read_text()
    found = []
    try:
        for batch in _BATCHES:
            for pages in SIZES:
                if pages > area.pages:
                    continue
                area.batch.write_text("0")
                area.batch.write_text(str(batch))
                allocs, releases = count(area, pages)
                found += [Counted(boot, batch, "alloc", pages, tuple(allocs)),
                          Counted(boot, batch, "release", pages, tuple(releases))]
    finally:
        area.batch.write_text(was)
    return found


def main() -> int:
    """Exit status: 0 done, 2 error."""
    parser = argparse.ArgumentParser(prog="python -m cmaobs.trial.counting", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", metavar="FILE", type=Path,
                        help="of a trial; the counts are added to it")
    parser.add_argument("--boot", metavar="N", type=int, default=1, help="a name for this boot")
    args = parser.parse_args()
    try:
        made = manifest.load(args.manifest)
        found = all_counts(find(Path("/"), None), args.boot)
    except CmaobsError as error:
        print(f"error: {error.message}\n  remedy: {error.remedy}", file=sys.stderr)
        return 2
    args.manifest.write_text(replace(made, counted=(*made.counted, *found)).dump())
    return 0


if __name__ == "__main__":
    sys.exit(main())
