# SPDX-License-Identifier: GPL-2.0
"""Judge a recorded soak on this machine: PYTHONPATH=.:tests python -m soak.replay DIRECTORY"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from soak import judge
from soak.watch import rss_kib


def main() -> int:
    """Exit status: 0 passed, 1 failed."""
    directory = Path(sys.argv[1])
    wanted = json.loads((directory / "soak.json").read_text())["wanted"]
    began = time.monotonic()
    memory: list[int] = []
    with (directory / "replay.json").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "cmaobs", "replay", "--json",
                                    str(directory / "run.cmarec")], stdout=out)
        while process.poll() is None:
            memory.append(rss_kib(process.pid))
            time.sleep(0.5)
    memory = [one for one in memory if one]
    took = time.monotonic() - began
    text = (directory / "replay.json").read_text()
    if not text:
        print(f"soak: FAILED: replay ended with {process.returncode}")
        return 1
    report = json.loads(text)
    print("\n".join(judge.table(report)))
    print(judge.memory(memory))
    print(f"replayed in {took:.0f} s: {judge.operations(report) / took:.0f} operations a second")
    found = judge.faults(report, wanted, memory)
    for fault in found:
        print(f"soak: FAILED: {fault}")
    if not found:
        print("soak: passed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
