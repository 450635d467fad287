# SPDX-License-Identifier: GPL-2.0
"""A disk that is really full, under a recording and under evidence; as root, for the mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import histories, recordings, samples
from unit.test_evidence import observe

from cmaobs.errors import RecordingWriteError
from cmaobs.recording import RecordingWriter

SIZE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Until so many bytes are free, at a page's size."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - leave))
    return ballast


@pytest.mark.parametrize("leave", range(4096, 100_000, 8192))
def test_what_was_recorded_before_the_disk_was_full_is_read(disk: Path, leave: int) -> None:
    fill(disk, leave)
    given = [*recordings.steps(), *(samples.reading(second) for second in range(10, 4000))]
    with pytest.raises(RecordingWriteError, match="No space left on device") as caught:
        with RecordingWriter(str(disk / "a"), {}, (samples.AREA,)) as writer:
            for step in given:
                writer.add(step)
    assert "can be replayed" in caught.value.remedy
    got, source = recordings.read(disk / "a")
    assert got
    assert got == given[:len(got)]
    assert "no end marker" in source.warnings[0]


def test_evidence_waits_for_room(disk: Path) -> None:
    ballast = fill(disk, 0)
    view = observe(disk / "kept", histories.unlawful())
    assert view.verdict is not None
    assert view.verdict.divergences
    assert not [one.evidence for one in view.verdict.divergences if one.evidence]
    assert "No space left on device" in view.warnings[0]
    assert not list((disk / "kept").iterdir())
    ballast.unlink()
    view = observe(disk / "kept", histories.unlawful())
    assert view.verdict is not None
    assert all(one.evidence for one in view.verdict.divergences)
    assert not view.warnings
