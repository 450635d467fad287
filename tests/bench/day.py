# SPDX-License-Identifier: GPL-2.0
"""`cmaobs whatif` on a day of a busy device, from the command line to the report: make bench-day.

    python tests/bench/day.py OPERATIONS THREADS

The recording is made from a seed in a temporary directory, by the project's own writer: of a kernel
without the patch, allocations of 1 to 128 pages with one call of alloc_contig_range() each and
releases with one of free_contig_range(), 116 operations, 10 batches and a reading each second. That
is ten million operations a day; of fewer operations it is a part of a day.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path as File
from random import Random

from golden import samples

from cmaobs.events import RECORD, Kind, Path
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading

AREA = samples.AREA
STEP_NS = 86_400 * 10 ** 9 // 10 ** 7  # from one operation to the next
SLOT = 128  # pages; an allocation has one to itself
SIZES = (1, 4, 4, 16, 16, 64, 128)


def steps(operations: int, threads: int, seed: int = 1) -> Iterator[Batch | Reading]:
    """A batch each tenth of a second, a reading each second."""
    chance = Random(seed).random
    free = list(range(AREA.count // SLOT))
    held: list[tuple[int, int]] = []
    made: list[bytes] = []
    batch_ns = second_ns = 10 ** 9
    for number in range(operations):
        at = 10 ** 9 + STEP_NS * number
        while at >= batch_ns:
            yield Batch(b"".join(made), batch_ns)
            made.clear()
            if batch_ns >= second_ns:
                yield samples.reading(second_ns, (samples.counts(allocs_contig=number),
                                                  samples.state(at_ns=second_ns, allocated=tuple(
                                                      sorted(held)))))
                second_ns += 10 ** 9
            batch_ns += 10 ** 8
        tid = 1000 + int(chance() * threads)
        if held and (not free or chance() < 0.5):
            one = int(chance() * len(held))
            held[one], held[-1] = held[-1], held[one]
            pfn, pages = held.pop()
            free.append((pfn - AREA.base_pfn) // SLOT)
            made.append(pack(Kind.FREE, at + 1000, at + 9000, tid, at, pfn, pages, 0, Path.NONE))
            made.append(pack(Kind.RELEASE, at, at + 10_000, tid, 0, pfn, pages, 1, Path.DIRECT))
        else:
            pfn = AREA.base_pfn + SLOT * free.pop()
            pages = SIZES[int(chance() * len(SIZES))]
            end = at + 100_000 + int(chance() * 400_000)
            held.append((pfn, pages))
            made.append(pack(Kind.CONTIG, at + 5000, end - 5000, tid, at, pfn, pages, 0, Path.NONE))
            made.append(pack(Kind.ALLOC, at, end, tid, 0, pfn, pages, 0, Path.CONTIG))
    end_ns = 2 * 10 ** 9 + STEP_NS * operations
    yield Batch(b"".join(made), end_ns)
    yield samples.reading(end_ns, (samples.counts(), samples.state(
        at_ns=end_ns, allocated=tuple(sorted(held)))))


def pack(kind: Kind, start: int, end: int, tid: int, op_ns: int, pfn: int, pages: int, ret: int,
         path: Path) -> bytes:
    """A record as the probes send it."""
    inside = (kind == Kind.ALLOC, kind == Kind.RELEASE)
    return RECORD.pack(start, end, op_ns, pfn, pages, ret, 0, 0, 0, pages * inside[1], tid, 900,
                       *inside, 0, kind, path, AREA.index, 0, 0, bool(op_ns), 0, b"camera", 0, 0)


def main() -> None:
    """Print what it took."""
    operations, threads = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        path = File(directory, "day.cmarec")
        began = time.monotonic()
        with RecordingWriter(str(path), {**samples.IDENTITY, "patched": "no"}, (AREA,)) as writer:
            for step in steps(operations, threads):
                writer.add(step)
        print(f"{operations:,} operations by {threads} threads, {writer.totals['records']:,} "
              f"records and {writer.totals['readings']:,} readings in {path.stat().st_size:,} "
              f"bytes, written in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "cmaobs", "whatif", str(path), "--policy", "rfc"],
                       check=True)
        took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"cmaobs whatif day.cmarec --policy rfc: {took:.1f} s on {len(os.sched_getaffinity(0))} "
          f"processors, {used.ru_utime + used.ru_stime:.1f} s of processor time, at most "
          f"{used.ru_maxrss >> 10} MiB in one process")


if __name__ == "__main__":
    main()
