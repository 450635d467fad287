# SPDX-License-Identifier: GPL-2.0
"""Pages that commands write for a browser."""

from __future__ import annotations

from pathlib import Path

from cmaobs.errors import UsageError


def write(path: str | Path, page: str, head: str, command: str) -> None:
    """Write the page; only one of the same command, which begins with head, is overwritten.

    Raises UsageError.
    """
    file = Path(path)
    try:
        if file.exists() and not file.read_bytes().startswith(head.encode()):
            raise UsageError(f"cannot write {path}: it exists and is not a page of {command}",
                             "name another file, or remove it first")
        file.write_text(page)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}",
                         "name a file in a directory that you may write to") from error
