# SPDX-License-Identifier: GPL-2.0
"""Recordings: round trips, what bounds them, and disks that are full."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path as File

import pytest
from golden import recordings, samples
from hypothesis import given
from hypothesis import strategies as st

from cmaobs.errors import RecordingWriteError
from cmaobs.events import RECORD, Kind, Path, Record
from cmaobs.recording import RecordingWriter, columns, readings, values
from cmaobs.source import Batch
from cmaobs.state import Reading

U64 = st.integers(0, (1 << 64) - 1)
ROWS = st.binary(min_size=RECORD.size, max_size=RECORD.size)
BATCHES = st.builds(Batch, st.lists(ROWS, max_size=5).map(b"".join), U64)


def test_what_is_read_is_what_was_written(tmp_path: File) -> None:
    recordings.write(tmp_path / "a", recordings.steps())
    steps, source = recordings.read(tmp_path / "a")
    assert steps == recordings.steps()
    assert source.identity == samples.IDENTITY
    assert source.areas == (samples.AREA,)
    assert source.warnings == []
    assert source.end_reason == "closed"
    assert source.totals == {"batches": 4, "records": 5, "readings": 3}


@given(st.lists(BATCHES, max_size=6))
def test_any_bytes_survive_the_columns(batches: list[Batch]) -> None:
    assert columns.unpack(columns.pack(batches)) == batches


@pytest.mark.parametrize(("start", "op"), [(0, 0), (5, 0), (5, 5), (5, 6), (0, 7), (6, 5)])
def test_the_time_of_an_operation_survives(start: int, op: int) -> None:
    batch = samples.batch(samples.contig(start, 9, op, 1, 1))
    assert columns.unpack(columns.pack([batch])) == [batch]


@given(st.builds(Reading, U64, st.floats(allow_nan=False, allow_infinity=False), st.just(
    (samples.counts(latencies={"scan": samples.latency(1, 999, 1 << 50)}),)),
    st.tuples(st.builds(samples.state, at_ns=st.integers(0, 1 << 62), allocated=st.lists(
        st.tuples(U64, U64), max_size=4).map(tuple), extents=st.none() | st.lists(
        st.tuples(U64, st.integers(0, 9)), max_size=4).map(tuple), fault=st.text())),
    st.just(samples.reading(0).losses)))
def test_a_reading_survives_json(reading: Reading) -> None:
    data = values.load(values.dump(readings.reading_to_json(reading)))
    assert readings.reading_from_json(data, {0: samples.AREA}) == reading


def test_a_recording_ends_at_its_largest_size(tmp_path: File) -> None:
    random.seed(1)
    steps: list[Batch | Reading] = []
    for second in range(50):
        steps += [samples.batch(*(samples.alloc(second * 10 ** 9 + i * 999, second * 10 ** 9
                  + i * 999 + random.randrange(900), random.randrange(1 << 30), 1)
                  for i in range(100))), samples.reading(second * 10 ** 9)]
    size = len(recordings.write(tmp_path / "a", steps))
    assert len(recordings.write(tmp_path / "b", steps, size // 3)) <= size // 3
    got, source = recordings.read(tmp_path / "b")
    assert source.end_reason == "max-size"
    assert source.warnings == []
    assert got == steps[:len(got)]
    assert len(got) > len(steps) / 5


def test_a_batch_larger_than_a_chunk_is_split(tmp_path: File) -> None:
    big = Batch(RECORD.pack(*samples.alloc(1, 2, 3, 4)) * 200_000, 77)
    recordings.write(tmp_path / "a", [big])
    got, _ = recordings.read(tmp_path / "a")
    batches = [step for step in got if isinstance(step, Batch)]
    assert b"".join(batch.data for batch in batches) == big.data
    assert [batch.watermark_ns for batch in batches] == [0] * (len(batches) - 1) + [77]


def test_only_a_recording_is_overwritten(tmp_path: File) -> None:
    (tmp_path / "a").write_text("my thesis")
    with pytest.raises(RecordingWriteError, match="is no recording"):
        recordings.write(tmp_path / "a", [])
    assert (tmp_path / "a").read_text() == "my thesis"
    recordings.write(tmp_path / "b", recordings.steps())
    recordings.write(tmp_path / "b", [])
    assert recordings.read(tmp_path / "b")[0] == []


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/at/all"])
def test_what_cannot_be_written_is_one_line(path: str) -> None:
    with pytest.raises(RecordingWriteError, match=f"cannot write {path}"):
        RecordingWriter(path, {}, ())


_FULL_DISK = """
import resource, signal, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from golden import recordings, samples
from cmaobs.errors import RecordingWriteError
from cmaobs.recording import RecordingWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    with RecordingWriter(sys.argv[1], {{}}, ()) as writer:
        for second in range(100):
            writer.add(samples.reading(second))
except RecordingWriteError as error:
    print(error.message)
    print(error.remedy)
"""


def test_a_full_disk_is_one_line_and_leaves_whole_chunks(tmp_path: File) -> None:
    """A file size limit stands in for the disk: recordings.write() fails in the same place."""
    root = str(File(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", _FULL_DISK.format(root=root),
                           str(tmp_path / "a")], capture_output=True, text=True, check=True)
    message, remedy = done.stdout.splitlines()
    assert message == f"cannot write {tmp_path / 'a'}: File too large"
    assert "can be replayed" in remedy
    got, source = recordings.read(tmp_path / "a")
    assert got
    assert "no end marker" in source.warnings[0]


def test_a_mixed_load_takes_few_bytes(tmp_path: File) -> None:
    """As docs/recording.md says: below 20 bytes an operation, readings not counted."""
    rng = random.Random(7)
    at, records, operations = 10 ** 12, list[Record](), 3000
    for _ in range(operations):
        at += rng.randrange(20_000, 400_000)
        pfn, count = 0x40000 + rng.randrange(16384), rng.choice([1, 4, 16, 64, 256])
        kind = rng.choice([Kind.ALLOC, Kind.RELEASE, Kind.RELEASE, Kind.CONTIG])
        if kind == Kind.RELEASE:
            records.append(samples.release(at, at + rng.randrange(800, 4000), pfn, count))
        elif kind == Kind.ALLOC:
            records.append(samples.alloc(at, at + rng.randrange(800, 4000), pfn, count))
        else:
            end = at + rng.randrange(50_000, 3_000_000)
            records.append(samples.contig(at + rng.randrange(1000, 4000), end - 700, at,
                                          pfn, count))
            records.append(samples.alloc(at, end, pfn, count, Path.CONTIG, n_contig=1))
    assert len(recordings.write(tmp_path / "a", [samples.batch(*records)])) / operations < 20
