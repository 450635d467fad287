# SPDX-License-Identifier: GPL-2.0
"""Recordings of any length: hits and deferred releases by turns, and a reading now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path as File

from golden import samples

from cmaobs.events import Path
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading

_STEP_NS = 10_000
_ROUNDS = 100  # between two readings


def steps(rounds: int, threads: int = 1) -> Iterator[Batch | Reading]:
    """So many allocations with their releases, of 16 pages each."""
    now, base = 1_000_000, samples.AREA.base_pfn
    totals: Counter[str] = Counter()
    yield _reading(now, totals)
    for done in range(0, rounds, _ROUNDS):
        records = []
        for turn in range(done, min(done + _ROUNDS, rounds)):
            thread = {"tid": 1001 + turn % threads, "batch": 128}
            records += [
                samples.alloc(now + 1000, now + 3000, base, 16, Path.HIT, defer_entry=16,
                              **thread),
                samples.release(now + 5000, now + 6000, base, 16, defer_exit=16, **thread)]
            now += _STEP_NS
        count = len(records) // 2
        totals.update(allocs_hit=count, alloc_pages_hit=16 * count, releases_deferred=count,
                      release_pages_deferred=16 * count)
        yield samples.batch(*records, watermark=now)
        now += _STEP_NS
        yield _reading(now, totals)


def _reading(now: int, totals: Counter[str]) -> Reading:
    state = samples.state(at_ns=now - 2000, extents=((samples.AREA.base_pfn, 16),),
                          begun=totals["allocs_hit"] + totals["releases_deferred"])
    return samples.reading(now, (samples.counts(**totals), state))


def write(path: File, rounds: int) -> File:
    """A recording of them."""
    with RecordingWriter(str(path), samples.IDENTITY, (samples.AREA,)) as writer:
        for step in steps(rounds):
            writer.add(step)
    return path
