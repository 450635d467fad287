# SPDX-License-Identifier: GPL-2.0
"""A small recording, and how tests write and read one."""

from __future__ import annotations

from pathlib import Path as File

from cmaobs.commands import running
from cmaobs.events import Path
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource, RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading
from cmaobs.view import View
from golden import histories, samples


def steps() -> list[Batch | Reading]:
    """Two intervals of a small load."""
    first = [samples.alloc(1000, 3000, 0x40000, 16, Path.CONTIG, n_contig=1),
             samples.release(4000, 4500, 0x40000, 16)]
    second = [samples.alloc(5000, 5600, 0x40000, 16),
              samples.alloc(7000, 7900, 0, 99999, Path.FAILED, ret=-12)]
    return [
        samples.reading(500, (samples.counts(), samples.state(at_ns=500))),
        samples.batch(samples.contig(1500, 2900, 1000, 0x40000, 16), first[0], watermark=2000),
        samples.batch(first[1]),
        samples.batch(watermark=4600),
        samples.reading(4700, (
            samples.counts(allocs_contig=1, releases_deferred=1,
                           latencies={"alloc_contig": samples.latency(2000)}),
            samples.state(at_ns=4700, extents=((0x40000, 16),), begun=2))),
        samples.batch(*second),
        samples.reading(8000, (samples.counts(allocs_hit=1, allocs_contig=1), samples.state(
            at_ns=8000, allocated=((0x40000, 16),), begun=4)), losses={"ring_full": 3}),
    ]


def write(path: File, what: list[Batch | Reading], max_size: int | None = None) -> bytes:
    """Write the steps; the file's bytes."""
    with RecordingWriter(str(path), samples.IDENTITY, (samples.AREA,), max_size) as writer:
        for step in what:
            writer.add(step)
    return path.read_bytes()


def read(path: File) -> tuple[list[Batch | Reading], RecordingSource]:
    """Every step, and the source, closed."""
    source = RecordingSource(str(path))
    try:
        return list(source.steps()), source
    finally:
        source.close()


def unlawful(directory: File) -> View:
    """Two callers own the same pages."""
    write(directory / "a", histories.unlawful())
    source = RecordingSource(str(directory / "a"))
    observer = Observer(source, running.checker(source))
    for _ in observer.steps():
        pass
    return observer.view
