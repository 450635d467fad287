# SPDX-License-Identifier: GPL-2.0
"""All of a soak, inside the device: PYTHONPATH=.:tests python -m soak.conduct --help"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cmaobs.load.area import find
from soak import judge, mix, trouble
from soak.crew import NICE, Crew
from soak.trouble import Trouble
from soak.watch import Passers, Watcher

BUSY = 0.8  # processors that the judged observer may use before the load is slowed down
SLOWEST_US = 20000.0
SETTLE_S = 4  # the observer sees the areas at rest once before the load begins


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("patched", "batch0", "plain"), default="patched")
    parser.add_argument("--operations", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"),
                        help="after which the load ends even if fewer operations were made")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="record instead of judging here")
    parser.add_argument("--out", type=Path, required=True, help="a directory; it is emptied")
    return parser.parse_args()


class Soak:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._out: Path = args.out
        shutil.rmtree(self._out, ignore_errors=True)
        (self._out / "evidence").mkdir(parents=True)
        self._tasks = mix.ALONE if args.kind == "plain" else mix.TASKS
        self._areas = [find(Path("/"), name) for name in self._tasks]
        self.rss_kib: list[int] = []
        self._beginning = time.monotonic()

    def describe(self) -> None:
        args = self._args
        print(f"soak: {args.kind}, {args.operations} operations, seed {args.seed}, "
              f"{len(self._tasks)} tasks at nice {NICE}: "
              + ", ".join(f"{self._tasks.count(n)} on {n}" for n in dict.fromkeys(self._tasks)))
        for line in (*mix.describe(), *trouble.describe()):
            print(f"  {line}")
        print(f"  batch is one of {trouble.BATCHES}; a lull stops all tasks for "
              f"{trouble.LULL_S:g} s; pressure fills memory to {trouble.FLOOR >> 20} MiB for "
              f"{trouble.PRESSURE_S:g} s\n"
              f"  every {Passers.PERIOD_S[0]:g} to {Passers.PERIOD_S[1]:g} s another observer "
              f"comes, and goes by SIGKILL or SIGINT in turn\n"
              f"  the load is slowed down while the observer uses more than {BUSY:g} processors, "
              f"and while another one ends",
              flush=True)

    def run(self) -> dict[str, Any]:
        """The judged observer's report, or what it says of its recording."""
        args = self._args
        one = ("record", "-o", str(self._out / "run.cmarec"), "--stacks", "no") if args.record \
            else ("check", "--duration", "240h", "--stacks", "no",
                  "--evidence", str(self._out / "evidence"))
        watcher = Watcher(self._out, "observer", *one)
        while not watcher.attached:
            time.sleep(0.5)
        time.sleep(SETTLE_S)
        crew = Crew(self._areas, args.seed)
        self.trouble = Trouble(self._areas, crew, args.seed, args.kind != "plain",
                               args.kind == "patched")
        self.passers = Passers(self._out, args.seed)
        try:
            self._loop(watcher, crew)
        finally:
            self.passers.close()
            self.trouble.close()
            crew.close()
        self._say(watcher, crew)
        self.load = {"made": crew.made, "refused": crew.refused, "killed": crew.killed,
                     "trouble": dict(self.trouble.done), "passers": dict(self.passers.outcomes),
                     "seconds": round(time.monotonic() - self._beginning, 1)}
        time.sleep(SETTLE_S)
        return watcher.end(signal.SIGINT, 900)

    def _loop(self, watcher: Watcher, crew: Crew) -> None:
        crew.pace_us = 200.0
        said = paced = time.monotonic()
        end = self._beginning + self._args.seconds
        watcher.cpu_share()
        while crew.made < self._args.operations * 1.005 and time.monotonic() < end:
            if not watcher.running:
                raise RuntimeError(f"the observer ended: {watcher.log[-500:]}")
            if any((self._out / "evidence").iterdir()):
                print("soak: the observer kept evidence of a divergence", flush=True)
                return
            self.trouble.tick()
            self.passers.tick()
            time.sleep(0.05)
            if time.monotonic() - paced > 1:
                paced = time.monotonic()
                busy = watcher.cpu_share()
                # one that ends has what it did not judge so far to judge
                crew.pace_us = min(SLOWEST_US, crew.pace_us * 1.3 + 5) \
                    if busy > BUSY or self.passers.ending else crew.pace_us * 0.9
            if time.monotonic() - said > 15:
                said = time.monotonic()
                self._say(watcher, crew)

    def _say(self, watcher: Watcher, crew: Crew) -> None:
        rss = watcher.rss_kib
        self.rss_kib.append(rss)
        seconds = time.monotonic() - self._beginning
        print(f"soak: {seconds:6.0f} s, {crew.made} operations made, {crew.refused} refused, "
              f"{crew.killed} tasks killed, pace {crew.pace_us:.0f} us, observer {rss >> 10} MiB, "
              f"others {dict(self.passers.outcomes)}", flush=True)


def main() -> int:
    """Exit status: 0 passed, 1 failed."""
    args = arguments()
    soak = Soak(args)
    soak.describe()
    report = soak.run()
    wanted = min(args.operations, soak.load["made"])
    (args.out / "soak.json").write_text(json.dumps(
        {"wanted": wanted, "load": soak.load, "rss_kib": soak.rss_kib}))
    if wanted < args.operations:
        print(f"soak: {args.operations} operations were wanted, {wanted} made when it ended")
    print(f"soak: load: {soak.load}")
    print(judge.memory(soak.rss_kib))
    found = [f"another observer: {wolf}" for wolf in soak.passers.wolves]
    if args.record:
        print(f"recorded: {report}")
        found += [] if report["status"] == 0 else ["the recorder failed"]
        found += judge.grown(soak.rss_kib)
    else:
        print("\n".join(judge.table(report)))
        found += judge.faults(report, wanted, soak.rss_kib)
    for fault in found:
        print(f"soak: FAILED: {fault}")
    if not found:
        print("soak: passed" if not args.record else "soak: recorded; not judged yet")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"soak: FAILED: {error}")
        sys.exit(1)
