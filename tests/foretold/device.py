# SPDX-License-Identifier: GPL-2.0
"""Inside the device: recordings of workloads under several batches and policies, into a directory.

    python tests/foretold/device.py DIRECTORY [--seed N] [LOAD...]

One observer records all runs, so that they differ in nothing but batch and the area's policy. Each
load is recorded with batch = 0 before and after the others; those of FIGURES three times with each
of two. Runs of a policy are left out, and it is said, where the kernel has none.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cmaobs.kernel.session import Options, Session
from cmaobs.load.area import Area, find
from cmaobs.load.pressure import Pace, Pressure
from cmaobs.load.targets import Heap
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading
from foretold.loads import FIGURES, LOADS, Alloc, Free, Load, Scan, Script, Sleep

FIRST_FIT, DEFERRED_FIRST = "first-fit", "deferred-first"
RUNS = ((0, FIRST_FIT), (16, FIRST_FIT), (64, FIRST_FIT), (512, FIRST_FIT), (64, DEFERRED_FIRST),
        (512, DEFERRED_FIRST), (0, FIRST_FIT))
FIGURED = ((64, FIRST_FIT), (0, FIRST_FIT)) * 3
AREA = "reserved"
_TRIES = 3
_FULL_S = 60.0
_LARGE, _PIECE, _PERIOD_S = 1 << 20, 128 << 10, 0.01


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
    """All threads of a load, and reclaim meanwhile, if it is to be."""
    area = find(Path("/"), AREA)
    heap = Heap(area, touch=False)
    crew = [threading.Thread(target=act, args=(
        load.script(random.Random(f"{seed}/{load.name}/{n}")), area, heap))
        for n in range(load.threads)]
    with reclaiming(load.floor << 20) if load.floor else contextlib.nullcontext():
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    heap.close()


@contextlib.contextmanager
def reclaiming(floor: int) -> Iterator[None]:
    """Reclaim is at work all the time: memory is filled down to floor bytes, and what is left is
    not enough for the files that a process reads one after the other.

    Files of the page cache are what reclaim takes without end. That memory is full is not enough:
    as long as MemAvailable is above 0 there is nothing that it has to do.
    """
    pressure = Pressure(Path("/"), "shmem", floor, Pace(let_go_s=math.inf, share=0.0))
    try:
        if not pressure.await_full(_FULL_S):
            raise RuntimeError(f"memory was not full within {_FULL_S:.0f} s")
        reader = os.fork()
        if reader == 0:
            try:
                read_on()
            finally:
                os._exit(1)
        try:
            await_reclaim()
            yield
        finally:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
    finally:
        print(pressure.stop(), flush=True)


def read_on() -> None:
    """Read the larger files of the root, which the device has from its host, without end.

    From the time on at which reclaim has begun at a pace, so that it has as much to do in each run.
    """
    begin, due = stolen(), 0.0
    while True:
        for directory, _, names in os.walk("/usr/lib"):
            for path in (os.path.join(directory, name) for name in names):
                if os.path.islink(path) or os.path.getsize(path) < _LARGE:
                    continue
                with open(path, "rb", buffering=0) as file:
                    while file.read(_PIECE):
                        if due or stolen() > begin:
                            due = max(due + _PERIOD_S, time.monotonic())
                            time.sleep(max(due - time.monotonic(), 0))


def await_reclaim() -> None:
    """Until kswapd has begun to take pages."""
    begin, until = stolen(), time.monotonic() + _FULL_S
    while stolen() == begin:
        if time.monotonic() > until:
            raise RuntimeError(f"reclaim did not begin within {_FULL_S:.0f} s")
        time.sleep(0.05)


def stolen() -> int:
    """Pages that kswapd has taken."""
    counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(counts["pgsteal_kswapd"])


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


def prepare(area: Area, batch: int, policy: str) -> None:
    """Nothing deferred, and both as they are to be."""
    area.batch.write_text("0")
    if has_policy(area):
        area.batch.with_name("policy").write_text(policy)
    area.batch.write_text(str(batch))


def has_policy(area: Area) -> bool:
    """Whether the kernel lets an area's policy be set."""
    return area.batch.with_name("policy").exists()


def record(session: Session, load: Load, batch: int, policy: str, path: Path, seed: int) -> bool:
    """From a reading to the second reading after the load; whether no record was lost."""
    prepare(find(Path("/"), AREA), batch, policy)
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
            ended, status = os.waitpid(child, os.WNOHANG) if left == 2 else (0, 0)
            if status:
                raise RuntimeError(f"{load.name} failed")
            if ended:
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
    args = parser.parse_intermixed_args()
    out, names = Path(args.directory), args.names
    out.mkdir(parents=True, exist_ok=True)
    area = find(Path("/"), AREA)
    session = Session(Options(reading_s=0.5, ring_pages=4096))
    try:
        for load in [load for load in (*FIGURES, *LOADS) if not names or load.name in names]:
            for run, (batch, policy) in enumerate(FIGURED if load in FIGURES else RUNS):
                if policy != FIRST_FIT and not has_policy(area):
                    print(f"{load.name}: not under {policy}, which this kernel does not have")
                    continue
                path = out / f"{load.name}-{run}-{batch}-{policy}.cmarec"
                if not any(record(session, load, batch, policy, path, args.seed)
                           for _ in range(_TRIES)):
                    raise RuntimeError(f"records of {load.name} were lost {_TRIES} times")
    finally:
        session.close()
        prepare(area, 64, FIRST_FIT)


if __name__ == "__main__":
    main()
