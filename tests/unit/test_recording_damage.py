# SPDX-License-Identifier: GPL-2.0
"""Recordings that a crash cut off, that were damaged, or that mean harm."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import struct
import zlib
from pathlib import Path as File

import pytest
from golden import recordings, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from cmaobs.errors import CorruptError, NotARecordingError, RecordingError
from cmaobs.recording import RecordingSource, RecordingWriter, framing, readings, values
from cmaobs.source import Batch
from cmaobs.state import Reading


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return recordings.write(tmp_path_factory.mktemp("whole") / "a.cmarec", recordings.steps())


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> File:
    return tmp_path_factory.mktemp("scratch") / "a.cmarec"


def test_cut_off_anywhere_it_reads_what_is_whole(whole: bytes, scratch: File) -> None:
    """Each length: a prefix of the steps, and a warning; nothing at all before the identity."""
    read_something = 0
    for size in range(len(whole)):
        scratch.write_bytes(whole[:size])
        try:
            steps, source = recordings.read(scratch)
        except NotARecordingError as error:
            assert not read_something, f"{size} bytes: {error}"
            continue
        read_something += 1
        assert steps == recordings.steps()[:len(steps)]
        assert len(source.warnings) == 1, f"{size} bytes"
        assert "cut off at byte" in source.warnings[0]
        assert source.end_reason == ""
    assert read_something > len(whole) / 3


def test_zeros_at_the_tail_are_a_cut_tail(whole: bytes, scratch: File) -> None:
    end = whole.index(framing.END)
    scratch.write_bytes(whole[:end] + bytes(5000))
    steps, source = recordings.read(scratch)
    assert steps == recordings.steps()
    assert "zeros to the end" in source.warnings[0]


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(whole: bytes, scratch: File, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    scratch.write_bytes(damaged)
    got: list[Batch | Reading] = []
    with pytest.raises(RecordingError) as caught:
        with contextlib.closing(RecordingSource(str(scratch))) as source:
            for step in source.steps():
                got.append(step)
    assert got == recordings.steps()[:len(got)]
    if got:
        assert isinstance(caught.value, CorruptError)
        assert "is damaged at byte" in caught.value.message


@settings(deadline=None)
@given(junk=st.binary(max_size=400), keep=st.integers(0, 60))
def test_junk_is_refused_without_a_traceback(
        whole: bytes, scratch: File, junk: bytes, keep: int) -> None:
    scratch.write_bytes(whole[:keep] + junk)
    try:
        recordings.read(scratch)
    except RecordingError as error:
        assert error.remedy


def _forge(path: File, *chunks: bytes) -> None:
    whole_identity = path.with_suffix(".identity")
    data = recordings.write(whole_identity, [])
    head = data[:data.index(framing.END)]
    path.write_bytes(head + b"".join(chunks))


@pytest.mark.parametrize("data", [
    b"\xff\xff\xff\xff", b"", struct.pack("<IIQ", 1, 9, 9), struct.pack("<IIQ", 1, 1 << 31, 9),
], ids=["batches", "empty", "records", "many"])
def test_records_that_do_not_add_up_are_refused(tmp_path: File, data: bytes) -> None:
    _forge(tmp_path / "a", framing.pack_chunk(framing.RECORDS, data))
    with pytest.raises(CorruptError, match="damaged at byte"):
        recordings.read(tmp_path / "a")


@pytest.mark.parametrize("text", [
    "[]", "{}", "{", "nonsense", "[" * 100_000, '{"time_ns": -1}', '{"time_ns": 1e999}',
    '{"time_ns": true}', '{"time_ns": 1, "wall_s": NaN}', '{"time_ns": ' + "9" * 5000 + "}",
])
def test_a_reading_that_is_none_is_refused(tmp_path: File, text: str) -> None:
    _forge(tmp_path / "a", framing.pack_chunk(framing.READING, text.encode()))
    with pytest.raises(CorruptError, match="damaged at byte"):
        recordings.read(tmp_path / "a")


@pytest.mark.parametrize(("path", "value"), [
    (("states", 0, "area"), 7), (("states", 0, "allocated"), [1]), (("states", 0, "at_rest"), 1),
    (("counts", 0, "latencies", "scan", "slots"), {"120": 1}), (("losses", "ring_full"), -1),
    (("counts", 0, "latencies", "scan", "slots"), {"²": 1}), (("states",), {}),
])
def test_a_reading_with_one_thing_wrong_is_refused(
        path: tuple[str | int, ...], value: object) -> None:
    reading = samples.reading(9, (samples.counts(), samples.state()))
    tree = json.loads(values.dump(readings.reading_to_json(reading)))
    node = tree
    for key in path[:-1]:
        node = node[key]
    assert path[-1] in node
    node[path[-1]] = value
    with pytest.raises(ValueError, match=r"area|runs|at_rest|slot|ring_full|states"):
        readings.reading_from_json(tree, {0: samples.AREA})


@pytest.mark.parametrize("changes", [{"order_per_bit": 30}, {"count": 1 << 40}])
def test_areas_that_no_memory_holds_are_refused(
        changes: dict[str, int], tmp_path: File) -> None:
    area = dataclasses.replace(samples.AREA, **changes)
    RecordingWriter(str(tmp_path / "a"), samples.IDENTITY, (area,)).close("closed")
    with pytest.raises(CorruptError, match=r"damaged at byte .*area"):
        RecordingSource(str(tmp_path / "a"))


def test_a_bomb_is_not_unpacked(tmp_path: File) -> None:
    """A chunk that says 100 bytes and unpacks to 64 MiB must cost no more than it said."""
    stored = zlib.compress(bytes(64 << 20))
    head = struct.pack("<4sIII", framing.RECORDS, len(stored), 100, zlib.crc32(stored))
    _forge(tmp_path / "a", head + struct.pack("<I", zlib.crc32(head)) + stored)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptError, match="does not unpack to its 100 bytes"):
        recordings.read(tmp_path / "a")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10


def test_sizes_are_bounded_before_they_are_believed(tmp_path: File) -> None:
    head = struct.pack("<4sIII", framing.RECORDS, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    _forge(tmp_path / "a", head + struct.pack("<I", zlib.crc32(head)))
    with pytest.raises(CorruptError, match="4294967295 bytes"):
        recordings.read(tmp_path / "a")


def test_totals_that_differ_are_told(tmp_path: File) -> None:
    end = {"batches": 1, "records": 0, "readings": 0, "reason": "closed"}
    _forge(tmp_path / "a", framing.pack_chunk(framing.END, json.dumps(end).encode()))
    with pytest.raises(CorruptError, match="end marker counts"):
        recordings.read(tmp_path / "a")


def test_bytes_behind_the_end_are_told(tmp_path: File) -> None:
    (tmp_path / "a").write_bytes(recordings.write(tmp_path / "a", []) + b"x")
    with pytest.raises(CorruptError, match="behind the end"):
        recordings.read(tmp_path / "a")


def test_another_wire_layout_is_told_apart(tmp_path: File) -> None:
    identity = {"cmaobs": "9.9", "wire": {"version": 7}, "identity": {}, "areas": []}
    (tmp_path / "a").write_bytes(framing.file_header() + framing.pack_chunk(
        framing.IDENTITY, json.dumps(identity).encode()))
    with pytest.raises(NotARecordingError, match=r"wire version 7 as cmaobs 9\.9"):
        RecordingSource(str(tmp_path / "a"))


def test_another_format_version_is_told_apart(tmp_path: File) -> None:
    head = struct.pack("<8sHH", framing.MAGIC, 2, 0)
    (tmp_path / "a").write_bytes(head + struct.pack("<I", zlib.crc32(head)))
    with pytest.raises(NotARecordingError, match="format version 2"):
        RecordingSource(str(tmp_path / "a"))


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_opened_is_one_line(tmp_path: File, name: str) -> None:
    with pytest.raises(NotARecordingError, match="cannot read"):
        RecordingSource(str(tmp_path / name))
