# SPDX-License-Identifier: GPL-2.0
"""A directory of evidence files, bounded in number and size. Knows nothing of what they hold.

A file is ours where its name is <area>-<rule>-<utc time>.cmarec and its identity says evidence.
Nothing else in the directory is touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cmaobs.errors import RecordingError, RecordingWriteError
from cmaobs.recording import RecordingSource, RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading

MARK = "evidence"  # the key of the identity that makes a recording evidence
_NAME = re.compile(r".+-R\d{1,2}-(\d{8}T\d{6}\.\d{3}Z)\.cmarec")
_ODD = re.compile(r"[^A-Za-z0-9_.,@+-]")


class Store:
    """files, bytes: at most so many; while one is being written there may be one more.

    Raises RecordingWriteError where the directory cannot be made or written to.
    """

    def __init__(self, directory: str, files: int, size: int) -> None:
        self._directory = Path(directory)
        self._files, self._size = files, size
        try:
            self._directory.mkdir(exist_ok=True)
            usable = os.access(self._directory, os.W_OK | os.X_OK)
        except OSError as error:
            raise RecordingWriteError(
                f"cannot keep evidence in {directory}: {error.strerror}",
                "give --evidence a directory, or a name in one that you may write to") from error
        if not usable:
            raise RecordingWriteError(f"cannot keep evidence in {directory}: Permission denied",
                                      "give --evidence a directory that you may write to")

    def write(self, area: AreaFacts, rule: str, wall_s: float, identity: Mapping[str, str],
              steps: Iterable[Batch | Reading]) -> Path:
        """A new file with these steps, once the oldest have made room; its path.

        wall_s: of the name, seconds since 1970. Raises RecordingWriteError where it cannot be
        written or is larger than all of them may be; then there is no new file.
        """
        path = self._free_name(area.name, rule, wall_s)
        self._rotate(self._files - 1, self._size)
        done = False
        try:
            with RecordingWriter(str(path), {**identity, MARK: rule}, (area,),
                                 self._size) as writer:
                for step in steps:
                    writer.add(step)
            done = not writer.full
        finally:
            if not done:
                path.unlink(missing_ok=True)
        if not done:
            raise RecordingWriteError(f"cannot write {path}: more than {self._size} bytes",
                                      "allow more with --evidence-bytes")
        self._rotate(self._files, self._size)
        return path

    def _free_name(self, area: str, rule: str, wall_s: float) -> Path:
        name = _ODD.sub("_", area).lstrip(".-") or "area"
        at_ms = int(wall_s * 1000)
        while True:
            when = datetime.fromtimestamp(at_ms / 1000, UTC)
            path = self._directory / (f"{name}-{rule}-{when:%Y%m%dT%H%M%S}."
                                      f"{at_ms % 1000:03d}Z.cmarec")
            if not path.exists():
                return path
            at_ms += 1

    def _rotate(self, files: int, size: int) -> None:
        """Remove the oldest of ours until no more are left than that."""
        ours = self._ours()
        total = sum(bytes_ for _, _, bytes_ in ours)
        while ours and (len(ours) > files or total > size):
            _, path, bytes_ = ours.pop(0)
            path.unlink(missing_ok=True)
            total -= bytes_

    def _ours(self) -> list[tuple[str, Path, int]]:
        """Time, path and size, the oldest first."""
        found = []
        for path in self._directory.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and path.is_file() and not path.is_symlink() and _is_evidence(path):
                found.append((match[1], path, path.stat().st_size))
        return sorted(found)


def _is_evidence(path: Path) -> bool:
    try:
        source = RecordingSource(str(path))
    except RecordingError:
        return False
    source.close()
    return MARK in source.identity
