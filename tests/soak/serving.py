# SPDX-License-Identifier: GPL-2.0
"""`cmaobs serve` under load for long, in the device: PYTHONPATH=.:tests python -m soak.serving"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel.tools import CMAOBS, Sample, Serve, key_of

from soak import judge
from soak.judge import Served

EVERY_S = 5.0  # a scrape
SAID_S = 60.0
# Of each area: how it is reached, and by how many threads. debugfs gives back the newest block,
# whoever made it: only those of one thread are given back one by one.
AREAS = {"reserved": ("heap", 2), "camera": ("debugfs", 1), "codec": ("debugfs", 1)}
FILES = {"--evidence-files": "4", "--evidence-bytes": "4M", "--max-size": "4M"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="of load")
    parser.add_argument("--rate", type=float, default=40.0,
                        help="allocations a second of each thread")
    parser.add_argument("--out", type=Path, required=True, help="a directory; it is emptied")
    return parser.parse_args()


def start(area: str, args: argparse.Namespace) -> subprocess.Popen[str]:
    """The load on one area, with a scan and another batch now and then; it prints a summary."""
    source, threads = AREAS[area]
    return subprocess.Popen(
        [*CMAOBS, "load", "--json", "--area", area, "--source", source, "--threads", str(threads),
         "--rate", f"{args.rate:g}", "--sizes", "log:1-128", "--lifetime", "0-20",
         "--duration", f"{args.seconds:g}", "--scan", "64-256", "--scan-rate", "0.2",
         "--batch", "0,64,64,16,64", "--batch-rate", "0.02"],
        stdout=subprocess.PIPE, text=True)


def look(serve: Serve, scrape: Mapping[Sample, float], out: Path) -> Served:
    """What the observer has and says at this moment."""
    task = Path("/proc", str(serve.process.pid))
    status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
    return Served(
        rss_kib=int(status["VmRSS"].split()[0]), threads=int(status["Threads"]),
        descriptors=len(os.listdir(task / "fd")),
        file_bytes=sum(path.stat().st_size for path in out.rglob("*")
                       if path.is_file() and path.suffix == ".cmarec"),
        verdict=next(verdict for verdict in ("agree", "unknown", "diverge")
                     if scrape[key_of("cmaobs_model_verdict", verdict=verdict)]))


def counted(scrape: Mapping[Sample, float], area: str) -> dict[str, int]:
    """What the exporter counted in an area, in the words of the load's summary."""
    def total(name: str, label: str, *values: str) -> int:
        return int(sum(scrape.get(key_of(name, area=area, **{label: value}), 0)
                       for value in values))

    return {"succeeded": total("cma_alloc_total", "path", "defer_hit", "contig"),
            "failed": total("cma_alloc_total", "path", "failed"),
            "released": total("cma_release_total", "kind", "deferred", "direct")}


def made(summary: Mapping[str, Any]) -> dict[str, int]:
    """The same from the load's summary."""
    return {"succeeded": summary["allocations"]["succeeded"],
            "failed": sum(summary["allocations"]["failed"].values()),
            "released": summary["releases"]["done"]}


def main() -> int:
    """Exit status: 0 passed, 1 failed."""
    args = arguments()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    print(f"serving: {args.seconds:g} s of load on "
          + ", ".join(f"{area} ({threads} threads through {source})"
                      for area, (source, threads) in AREAS.items())
          + f", {args.rate:g} allocations a second of each thread", flush=True)
    limits = [word for item in FILES.items() for word in item]
    with Serve(args.out, "--interval", "500ms", "--evidence", str(args.out / "evidence"),
               *limits) as serve:
        before = serve.settled()
        loads = {area: start(area, args) for area in AREAS}
        began = said = time.monotonic()
        looks: list[Served] = []
        while any(one.poll() is None for one in loads.values()):
            time.sleep(EVERY_S)
            looks.append(look(serve, serve.scrape(), args.out))
            if time.monotonic() - said > SAID_S:
                said = time.monotonic()
                print(f"serving: {said - began:6.0f} s, {looks[-1]}", flush=True)
        after = serve.settled()
        summaries = {area: json.loads(one.communicate()[0]) for area, one in loads.items()}
        took = time.monotonic() - began
        status = serve.stop()
        report = serve.output()
    grown = {area: {what: count - counted(before, area)[what]
                    for what, count in counted(after, area).items()} for area in AREAS}
    asked = {area: made(summary) for area, summary in summaries.items()}
    (args.out / "serving.json").write_text(json.dumps(
        {"made": asked, "counted": grown, "looks": [one._asdict() for one in looks]}))
    found = judge.served(looks, asked, grown)
    found += [] if status == 0 else [f"serve ended with {status}: {report[-2000:]}"]
    operations = sum(sum(one.values()) for one in asked.values())
    print(f"serving: {operations} operations in {took:.0f} s, as many counted; "
          f"{len(looks)} scrapes" if asked == grown else f"serving: made {asked}, counted {grown}")
    print(judge.memory([one.rss_kib for one in looks]))
    for fault in found:
        print(f"serving: FAILED: {fault}")
    print("serving: failed" if found else f"serving: passed; the last look: {looks[-1]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
