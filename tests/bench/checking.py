# SPDX-License-Identifier: GPL-2.0
"""Operations checked per second, against those that the kernel makes per second.

    make bench-check

In the device: each load as fast as the kernel goes, first without probes, then observed
into memory, and what was observed is judged afterwards, by itself. The recordings
are then judged once more on this machine, and one table is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from cmaobs.commands import running
from cmaobs.kernel.session import Options, Session
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource, RecordingWriter
from cmaobs.source import Batch, Source
from cmaobs.state import AreaFacts, Reading
from cmaobs.verdict import Outcome

AREA = Path("/sys/kernel/debug/cma/reserved")
BATCH = Path("/sys/kernel/mm/cma/reserved/batch")
RING_PAGES = 8192  # 32 MiB: nothing may be lost at full speed


class Load(NamedTuple):
    """batch 64: hits; 0: all from the page allocator. rounds: of each of 8 tasks; one makes as
    many. bursts: so often, with time between for the observer to catch up.
    """

    name: str
    batch: int
    sizes: tuple[str, ...]
    rounds: int
    bursts: int


LOADS = (Load("hit, 16 pages", 64, ("16",), 10_000, 10),
         Load("sizes 1, 64, 7, 16 in turn", 64, ("1", "64", "7", "16"), 2500, 10),
         Load("contig, 16 pages", 0, ("16",), 600, 1))
TASKS = (1, 8)


class Kept:
    """Steps in memory as a source."""

    def __init__(self, source: Source) -> None:
        self.identity: Mapping[str, str] = dict(source.identity)
        self.areas: tuple[AreaFacts, ...] = source.areas
        self.kept: list[Batch | Reading] = []

    def steps(self) -> Iterator[Batch | Reading]:
        yield from self.kept

    def close(self) -> None:
        pass


def judged(source: Source) -> tuple[int, float]:
    """Operations, and those that were checked in a second of processor time.

    Raises RuntimeError where they were not all decided, and lawful.
    """
    began = time.process_time()
    checker = running.checker(source)
    observer = Observer(source, checker)
    for _ in observer.steps():
        pass
    took = time.process_time() - began
    verdict = observer.view.verdict
    assert verdict is not None
    operations = sum(area.operations for area in verdict.coverage)
    undecided = sum(sum(area.undecided.values()) for area in verdict.coverage)
    if verdict.outcome is not Outcome.AGREE or undecided or not operations:
        raise RuntimeError(f"{verdict.outcome.name}: {operations} operations, {undecided} "
                           f"undecided: {verdict.reasons} {verdict.divergences}")
    return operations, operations / took


def spin(program: Path, load: Load, tasks: int) -> subprocess.Popen[str]:
    """The load at full speed."""
    BATCH.write_text("0")
    BATCH.write_text(str(load.batch))
    rounds = load.rounds * max(TASKS) // tasks
    return subprocess.Popen([program, str(AREA), str(tasks), str(rounds), "0", *load.sizes],
                            stdout=subprocess.PIPE, text=True)


def rate(process: subprocess.Popen[str]) -> float:
    """Operations a second that it made."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the kernel refused an operation of the load")
    operations, nanoseconds = map(int, out.split())
    return operations * 1e9 / nanoseconds


def observed(program: Path, load: Load, tasks: int) -> tuple[Kept, float]:
    """What was seen of the load from rest to rest, and operations a second."""
    BATCH.write_text("0")
    session = Session(Options(attach="fentry", reading_s=0.5, ring_pages=RING_PAGES))
    kept = Kept(session)
    rates: list[float] = []
    process = None
    for step in session.steps():
        kept.kept.append(step)
        if process is not None and process.poll() is not None:
            rates.append(rate(process))
            process = None
        elif process is None and isinstance(step, Reading):
            if len(rates) == load.bursts:
                break
            process = spin(program, load, tasks)
    kept.kept += session.finish()
    session.close()
    readings = [step for step in kept.kept if isinstance(step, Reading)]
    if readings[-1].losses.total != readings[0].losses.total:
        raise RuntimeError(f"records were lost: {readings[-1].losses}")
    return kept, mean(rates)


def device(out: Path) -> None:
    """The part inside the device: recordings and figures in the directory."""
    program = out / "spin"
    cases = [(load, tasks) for load in LOADS for tasks in TASKS]
    alone = [mean(rate(spin(program, load, tasks)) for _ in range(load.bursts))
             for load, tasks in cases]
    rows = []
    for number, (load, tasks) in enumerate(cases):
        seen, while_seen = observed(program, load, tasks)
        file = out / f"{number}.cmarec"
        with RecordingWriter(str(file), seen.identity, seen.areas) as writer:
            for step in seen.kept:
                writer.add(step)
        operations, checked = judged(seen)
        rows.append({"load": load.name, "tasks": tasks, "alone": alone[number],
                     "observed": while_seen, "operations": operations, "device": checked,
                     "file": file.name})
        print(rows[-1], flush=True)
    (out / "rows.json").write_text(json.dumps(rows))


def table(out: Path) -> list[str]:
    """The part on this machine, and the table."""
    lines = ["| load | tasks | kernel, alone | kernel, observed | checked in the device | "
             "of the kernel's | checked here | operations |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    rows: Sequence[dict[str, Any]] = json.loads((out / "rows.json").read_text())
    for row in rows:
        source = RecordingSource(str(out / row["file"]))
        operations, here = judged(source)
        source.close()
        assert operations == row["operations"]
        lines.append(f"| {row['load']} | {row['tasks']} | {row['alone']:,.0f} | "
                     f"{row['observed']:,.0f} | {row['device']:,.0f} | "
                     f"{row['device'] / row['alone']:.1f} | {here:,.0f} | {operations:,} |")
    return lines


if __name__ == "__main__":
    where = Path(sys.argv[2])
    if sys.argv[1] == "device":
        device(where)
    else:
        print("\n".join(table(where)))
