# SPDX-License-Identifier: GPL-2.0
"""Inside the device: recordings of workloads under several values of batch, into a directory.

    python tests/foretold/device.py DIRECTORY [--seed N] [LOAD...]

One observer records all runs, so that they differ in nothing but batch. Each load is recorded with
batch = 0 before and after the others; those of FIGURES three times with each of two.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import time
from pathlib import Path

from cmaobs.kernel.session import Options, Session
from cmaobs.load.area import Area, find
from cmaobs.load.pressure import Pressure
from cmaobs.load.targets import Heap
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading
from foretold.loads import FIGURES, LOADS, Alloc, Free, Load, Scan, Script, Sleep

BATCHES = (0, 16, 64, 512, 0)
FIGURED = (64, 0) * 3
AREA = "reserved"
_TRIES = 3


def act(script: Script, area: Area, heap: Heap) -> None:
    """One thread."""
    held: dict[int, int] = {}
    for action in script:
        if isinstance(action, Alloc):
            try:
                held[action.key] = heap.alloc(action.pages)
            except OSError:
                continue
        elif isinstance(action, Free):
            if action.key in held:
                heap.release(held.pop(action.key))
        elif isinstance(action, Sleep):
            time.sleep(action.seconds)
        elif isinstance(action, Scan):
            area.scan.write_text(f"0 0 {action.pages}")
    for handle in held.values():
        heap.release(handle)


def perform(load: Load, seed: int) -> None:
    """All threads of a load, and what fills memory meanwhile."""
    area = find(Path("/"), AREA)
    heap = Heap(area, touch=False)
    pressure = Pressure(Path("/"), "shmem", load.floor << 20) if load.floor else None
    if pressure:
        time.sleep(2)
    crew = [threading.Thread(target=act, args=(
        load.script(random.Random(f"{seed}/{load.name}/{n}")), area, heap))
        for n in range(load.threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    if pressure:
        print(load.name, pressure.stop(), flush=True)
    heap.close()


def started(load: Load, seed: int) -> int:
    """A process that performs the load; its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            perform(load, seed)
            status = 0
        finally:
            os._exit(status)
    return child


def record(session: Session, load: Load, batch: int, path: Path, seed: int) -> bool:
    """From a reading to the second reading after the load; whether no record was lost."""
    area = find(Path("/"), AREA)
    area.batch.write_text("0")
    area.batch.write_text(str(batch))
    child, left, records, began = 0, 2, 0, time.monotonic()
    lost = None
    with RecordingWriter(str(path), session.identity, session.areas) as writer:
        for step in session.steps():
            if isinstance(step, Batch):
                records += len(step.data)
            elif not child:
                child, lost = started(load, seed), step.losses.total
            if not child:
                continue
            writer.add(step)
            if left == 2 and os.waitpid(child, os.WNOHANG) != (0, 0):
                left = 1
            elif left == 1 and isinstance(step, Reading):
                if step.losses.total != lost:
                    print(f"{path.name}: records were lost, once more", flush=True)
                    return False
                break
    print(f"{path.name}: {records} bytes of records, {time.monotonic() - began:.1f} s", flush=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    out, names = Path(args.directory), args.names
    out.mkdir(parents=True, exist_ok=True)
    session = Session(Options(reading_s=0.5, ring_pages=4096))
    try:
        for load in [load for load in (*FIGURES, *LOADS) if not names or load.name in names]:
            for run, batch in enumerate(FIGURED if load in FIGURES else BATCHES):
                path = out / f"{load.name}-{run}-{batch}.cmarec"
                if not any(record(session, load, batch, path, args.seed) for _ in range(_TRIES)):
                    raise RuntimeError(f"records of {load.name} were lost {_TRIES} times")
    finally:
        session.close()
        find(Path("/"), AREA).batch.write_text("64")


if __name__ == "__main__":
    main()
