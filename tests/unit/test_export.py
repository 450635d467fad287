# SPDX-License-Identifier: GPL-2.0
"""`cmaobs export`: what it writes, what it refuses to overwrite, and damaged recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from golden import histories, recordings
from golden.cli import NO_BCC, environment, run
from reference import tracing

from cmaobs.recording import framing


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "run.cmarec"
    recordings.write(path, histories.lawful())
    return path


def is_error(done: subprocess.CompletedProcess[str], message: str, remedy: str) -> None:
    assert done.returncode == 2, done.stderr
    line, advice = done.stderr.splitlines()[-2:]
    assert line.startswith("error: ")
    assert message in line
    assert remedy in advice
    assert "Traceback" not in done.stderr


def test_a_trace_is_written_and_written_again(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pftrace"
    for _ in range(2):
        done = run("export", recording, "--format", "perfetto", "-o", out)
        assert done.returncode == 0
        assert done.stderr == f"{out}: 11 records and 6 readings\n"
    trace = tracing.read(out.read_bytes())
    assert len(trace.threads[0].slices) == 11
    assert list(tmp_path.iterdir()) == [out]


def test_tables_are_written_again(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        assert run("export", recording, "--format", "parquet", "-o", out).returncode == 0
    assert (out / "operations.parquet").exists()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["perfetto", "parquet"])
def test_what_is_not_an_export_is_not_overwritten(
        recording: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("mine\n")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "mine").touch()
    for name in ("file", "directory"):
        is_error(run("export", recording, "--format", kind, "-o", tmp_path / name),
                 f"cannot write {tmp_path / name}: it exists and is no", "name another")
    assert (tmp_path / "file").read_text() == "mine\n"
    assert (tmp_path / "directory" / "mine").exists()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["perfetto", "parquet"])
def test_where_nothing_can_be_written(recording: Path, kind: str) -> None:
    is_error(run("export", recording, "--format", kind, "-o", "/proc/nowhere/out"),
             "/proc/nowhere/out.part: No such file or directory", "that you may write to")


@pytest.mark.parametrize("kind", ["perfetto", "parquet"])
def test_what_an_export_that_was_killed_left_is_named(
        recording: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "out.part").mkdir()
    is_error(run("export", recording, "--format", kind, "-o", tmp_path / "out"),
             f"cannot write {tmp_path / 'out.part'}: File exists", "an export that was killed")
    assert [one.name for one in tmp_path.iterdir()] == ["out.part"]


def test_a_full_disk_leaves_nothing_behind(recording: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for it: a write fails after so many bytes."""
    limited = ("import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               "resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700)); " + NO_BCC)
    for kind in ("perfetto", "parquet"):
        done = subprocess.run(
            [sys.executable, "-c", limited, "export", str(recording), "--format", kind, "-o",
             str(tmp_path / "out")], env=environment(), capture_output=True, text=True, timeout=300,
            check=False)
        is_error(done, "File too large", "make room")
        assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_cut_off_is_exported_as_far_as_it_goes(
        recording: Path, tmp_path: Path) -> None:
    data = recording.read_bytes()
    (tmp_path / "cut").write_bytes(data[:data.index(framing.END) - 10])
    done = run("export", tmp_path / "cut", "--format", "perfetto", "-o", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {tmp_path / 'cut'} was cut off at byte")
    trace = tracing.read((tmp_path / "out").read_bytes())
    assert "was cut off" in trace.attributes["cmaobs.warning (1)"]
    assert trace.threads[0].slices


def test_damage_is_an_error_after_what_was_read(recording: Path, tmp_path: Path) -> None:
    data = bytearray(recording.read_bytes())
    data[data.rindex(framing.READING) + 30] ^= 255
    (tmp_path / "damaged").write_bytes(data)
    done = run("export", tmp_path / "damaged", "--format", "perfetto", "-o", tmp_path / "out")
    is_error(done, "is damaged at byte", "copy it again")
    assert tracing.read((tmp_path / "out").read_bytes()).threads[0].slices


def test_without_pyarrow_the_error_says_how_to_get_it(recording: Path, tmp_path: Path) -> None:
    without = NO_BCC.replace("sys.modules['bcc']", "sys.modules['pyarrow'] = sys.modules['bcc']")
    done = subprocess.run(
        [sys.executable, "-c", without, "export", str(recording), "--format", "parquet", "-o",
         str(tmp_path / "out")], env=environment(), capture_output=True, text=True, timeout=300,
        check=False)
    is_error(done, "there is no pyarrow", "cmaobs[parquet]")
    assert list(tmp_path.iterdir()) == []


def test_a_trace_needs_no_pyarrow(recording: Path, tmp_path: Path) -> None:
    without = NO_BCC.replace("sys.modules['bcc']", "sys.modules['pyarrow'] = sys.modules['bcc']")
    done = subprocess.run(
        [sys.executable, "-c", without, "export", str(recording), "--format", "perfetto", "-o",
         str(tmp_path / "out")], env=environment(), capture_output=True, text=True, timeout=300,
        check=False)
    assert done.returncode == 0, done.stderr
