# SPDX-License-Identifier: GPL-2.0
"""What observing costs, side by side in one boot: cmaobs in each mode, and what it compares with.

    make bench

Inside the device the probes are compiled, and in another boot every row is measured into a
directory, since a compiler takes minutes where instructions are counted; on the host the tables
are put between the marks of docs/performance.md. Under icount they are instructions; TIME=1 make
bench measures time instead, and prints what it found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import beside, pairs, serving, table

from cmaobs.kernel.session import Options, Session
from cmaobs.state import Reading

Context = contextlib.AbstractContextManager[None]
# A long poll keeps the observer's own thread out of the measure.
_POLL_S = 1e6


@contextlib.contextmanager
def cmaobs(**options: object) -> Iterator[None]:
    """The probes alone: nobody reads what they send. Raises RuntimeError where they missed any."""
    session = Session(Options(poll_s=_POLL_S, **options))  # type: ignore[arg-type]
    try:
        yield
        reading = next(step for step in session.finish() if isinstance(step, Reading))
    finally:
        session.close()
    lost = {kind: count for kind, count in reading.losses.counts.items() if count}
    seen = sum(area.counters["allocs_hit"] + area.counters["allocs_contig"]
               for area in reading.counts)
    if lost or seen != pairs.MADE:
        raise RuntimeError(f"the probes saw {seen} of {pairs.MADE} allocations, and lost {lost}")


def _modes(attach: str) -> dict[str, Callable[[], Context]]:
    return {f"cmaobs, {attach}: {name}": lambda options=options: cmaobs(attach=attach, **options)
            for name, options in (("counts only", {"send": False}), ("and records", {}),
                                  ("and stacks", {"stacks": True}),
                                  ("and phases", {"phases": True}))}


ROWS: dict[str, Callable[[], Context]] = {
    "nothing": contextlib.nullcontext,
    "empty programs, fentry": lambda: beside.empty("fentry"),
    "empty programs, kprobe": lambda: beside.empty("kprobe"),
    **_modes("fentry"), **_modes("kprobe"),
    "bpftrace, kfunc (fentry)": lambda: beside.bpftrace("fentry"),
    "bpftrace, kprobe": lambda: beside.bpftrace("kprobe"),
    "bcc's funclatency, kprobe": beside.funclatency,
    "perf stat, trace events": beside.perf_stat,
    "perf record, trace events": beside.perf_record,
}


def compiled(only: list[str]) -> None:
    """The part inside the device that compiles what the other attaches."""
    for name, context in {**_modes("fentry"), **_modes("kprobe")}.items():
        if _asked(name, only):
            with context():
                pairs.measure()


def _asked(name: str, only: list[str]) -> bool:
    return not only or any(part in name for part in only)


def device(out: Path, only: list[str]) -> None:
    """The part inside the device that measures."""
    pairs.measure()  # for warm caches
    rows = {}
    for name, context in ROWS.items():
        if name != "nothing" and not _asked(name, only):
            continue
        with context():
            rows[name] = pairs.measure()
        print(name, {key: round(cost.median) for key, cost in rows[name].items()}, flush=True)
    served = serving.measure(out) if not only else {}
    tools = {command: subprocess.run([command, "--version"], capture_output=True,
                                     text=True, check=True).stdout.split()[-1]
             for command in ("bpftrace", "perf")}
    (out / "cost.json").write_text(json.dumps({
        "release": os.uname().release, "machine": os.uname().machine, "tools": tools,
        "rows": rows, "served": served}))


def main() -> int:
    """Exit status: 0 done, 2 error."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("compile", "device", "table"))
    parser.add_argument("out", type=Path, help="directory of the figures")
    parser.add_argument("rest", nargs="*", help="in the device: only rows with one of these words; "
                        "table: the file to put it into, else it is printed")
    args = parser.parse_args()
    os.environ["CMAOBS_OBJECTS"] = str(args.out / "objects")  # for the next boot, and the next run
    try:
        if args.part == "compile":
            compiled(args.rest)
            return 0
        if args.part == "device":
            device(args.out, args.rest)
            return 0
        text = table.draw(json.loads((args.out / "cost.json").read_text()))
        if args.rest:
            table.put(Path(args.rest[0]), text)
        else:
            print(text)
    except (RuntimeError, OSError, ValueError) as error:
        print(f"error: {error}\n  remedy: see {args.out} and the device's own messages",
              file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
