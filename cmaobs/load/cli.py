# SPDX-License-Identifier: GPL-2.0
"""The command line of the load maker: python -m cmaobs.load, or cmaobs load."""

from __future__ import annotations

import argparse
import json
import math
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cmaobs.errors import CmaobsError, UsageError
from cmaobs.load.area import find
from cmaobs.load.maker import Maker, Settings
from cmaobs.load.plan import Lifetimes, Sizes
from cmaobs.load.targets import release_leftover

DESCRIPTION = """\
Allocates from a CMA area and gives back, as cameras and codecs do. By default it holds at
most a quarter of the area, leaves the last free quarter to others, stops after 10 s,
and puts no pressure on memory. Everything is released when it ends, also by SIGTERM or Ctrl-C.
"""
EPILOG = """\
caveats:
  Buffers of a dma-buf heap go back to the kernel even if this process is killed. What
  was allocated through debugfs does not: --release-leftover gives it back.
  debugfs releases the newest block first, whoever made it, so with several threads its
  releases need not match its allocations one to one; --threads 1 makes them.
  --reserve needs debugfs to see what is allocated.

exit status:
  0  done    1  not all operations were done, or something was not released    2  error

examples:
  cmaobs load
  cmaobs load --duration 60 --threads 8 --sizes log:1-1024 --lifetime 5-50
  cmaobs load --operations 997 --threads 1 --source debugfs --rate 0 --json
  cmaobs load --scan 64-256 --scan-rate 2 --batch 0,64 --pressure shmem --floor 200M
"""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "cmaobs load --help")


def _number(low: float, high: float, what: str, kind: Callable[[str], float] = float) -> Any:
    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high or math.isnan(value):
            raise ValueError(text)
        return value

    parse.__name__ = what
    return parse


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text)
    if not match:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2]]


def _batches(text: str) -> tuple[int, ...]:
    values = tuple(int(part) for part in text.split(","))
    if min(values) < 0:
        raise ValueError(text)
    return values


_bytes.__name__, _batches.__name__ = "size such as 200M", "list of pages such as 0,64"


def add_arguments(p: argparse.ArgumentParser) -> None:
    rate = _number(0.01, 1e6, "rate")
    p.add_argument("--area", metavar="NAME", help="default: reserved, or the first")
    p.add_argument("--source", choices=("auto", "heap", "debugfs"), default="auto",
                   help="auto: the area's dma-buf heap, or debugfs if it has none")
    p.add_argument("--threads", metavar="N", type=_number(1, 256, "number", int), default=2,
                   help="default: 2")
    p.add_argument("--sizes", metavar="PAGES", help="16 or 1-64 or 4,16:3,256 (16 three times as "
                   "often) or log:1-1024; default: 1,4,16,64,256, as far as they fit")
    p.add_argument("--lifetime", metavar="MS", default="0-50", help="20 or 5-50, or ops:0-3: "
                   "until so many more allocations of the thread; default: 0-50")
    p.add_argument("--rate", metavar="R", type=_number(0, 1e6, "rate"), default=50.0,
                   help="allocations a second of each thread; 0: no limit; default: 50")
    p.add_argument("--duration", metavar="S", type=_number(0.1, 1e7, "seconds"),
                   help="default: 10, or at most 300 with --operations")
    p.add_argument("--operations", metavar="N", type=_number(1, 1e9, "number", int),
                   help="exactly so many allocations, over all threads")
    p.add_argument("--seed", metavar="N", type=int, default=1,
                   help="the same seed gives each thread the same requests; default: 1")
    p.add_argument("--touch", action="store_true", help="write to each page of a heap's buffer")
    p.add_argument("--share", metavar="PERCENT", type=_number(0, 100, "percentage"), default=25.0,
                   help="of the area to hold at most; default: 25")
    p.add_argument("--reserve", metavar="PERCENT", type=_number(0, 100, "percentage"),
                   default=25.0, help="of the area that others find free; default: 25")
    p.add_argument("--scan", metavar="PAGES", help="scans of the area's shrinker, as --sizes")
    p.add_argument("--scan-rate", metavar="R", type=rate, default=1.0, help="per second")
    p.add_argument("--batch", metavar="PAGES,...", type=_batches, default=(),
                   help="values for the area's batch, in turn; the old one is put back")
    p.add_argument("--batch-rate", metavar="R", type=rate, default=0.2, help="per second")
    p.add_argument("--pressure", choices=("anon", "shmem"), help="fill memory with this")
    p.add_argument("--floor", metavar="SIZE", type=_bytes,
                   help="of MemAvailable that --pressure leaves; default: a fifth of memory")
    p.add_argument("--release-leftover", action="store_true",
                   help="only free what was allocated through debugfs and not freed")
    p.add_argument("--json", action="store_true", help="the summary as JSON")
    p.add_argument("--root", metavar="DIR", type=Path, default=Path("/"), help=argparse.SUPPRESS)


def settings(args: argparse.Namespace) -> Settings:
    return Settings(
        root=args.root,
        area=args.area,
        source=args.source,
        threads=args.threads,
        sizes=Sizes.parse(args.sizes) if args.sizes else None,
        lifetimes=Lifetimes.parse(args.lifetime),
        rate=args.rate,
        duration=args.duration,
        operations=args.operations,
        seed=args.seed,
        touch=args.touch,
        share=args.share,
        reserve=args.reserve,
        scan=Sizes.parse(args.scan) if args.scan else None,
        scan_rate=args.scan_rate,
        batches=args.batch,
        batch_rate=args.batch_rate,
        pressure=args.pressure,
        floor=args.floor,
    )


def run(args: argparse.Namespace) -> int:
    """The subcommand. Raises CmaobsError."""
    if args.release_leftover:
        release_leftover(find(args.root, args.area))
        return 0
    maker = Maker(settings(args))
    before = [(n, signal.signal(n, maker.stop)) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        summary = maker.run()
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    print(json.dumps(summary) if args.json else text(summary))
    return 0 if summary["complete"] and not summary["pages"]["left"] else 1


def text(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    made, back, pages = summary["allocations"], summary["releases"], summary["pages"]
    failed = ", ".join(f"{name} {n}" for name, n in made["failed"].items())
    lines = [
        f"area {summary['area']} through {summary['source']}, {summary['elapsed_s']:.1f} s, "
        f"{summary['threads']} threads, seed {summary['seed']}"
        + (f", ended by {summary['stopped_by']}" if summary["stopped_by"] else ""),
        f"allocations: {made['succeeded']} of {made['attempted']}, {pages['allocated']} pages"
        + (f"; failed: {failed}" if failed else ""),
        f"releases: {back['done']}, {pages['released']} pages, {back['early']} before their time",
    ]
    if pages["left"]:
        lines.append(f"not released: {pages['left']} pages; see --release-leftover")
    if summary["paused_s"]:
        lines.append(f"paused for {summary['paused_s']:.1f} s: too little of the area was free")
    for name in ("scans", "batch_changes", "pressure"):
        if name in summary:
            told = ", ".join(f"{k} {v}" for k, v in summary[name].items() if v not in ({}, None))
            lines.append(f"{name.replace('_', ' ')}: {told}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    p = _Parser(prog="cmaobs load", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p)
    try:
        return run(p.parse_args(argv))
    except CmaobsError as err:
        print(f"error: {err.message}\n  remedy: {err.remedy}", file=sys.stderr)
        return 2
