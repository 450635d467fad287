# SPDX-License-Identifier: GPL-2.0
"""Files that are opened while the process may, and read again when it may no more.

What /proc/kallsyms shows, and whether the others can be opened, depends on who opened them
(kallsyms_show_value() asks the file's credentials). Like privileges, what is held is the process's.
"""

from __future__ import annotations

import os
from pathlib import Path

_held: dict[Path, int] = {}


def hold(path: Path) -> str:
    """Keep the file open; why that could not be, or an empty string."""
    try:
        _held[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def opened(path: Path) -> int:
    """A descriptor of the file at its beginning, for the caller to close; raises OSError.

    Of a file that is held all descriptors share one position: one reader at a time.
    """
    if path not in _held:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.lseek(_held[path], 0, os.SEEK_SET)
    return os.dup(_held[path])


def read_at(path: Path, size: int, position: int) -> bytes:
    """So many bytes of the file from there on, or what there is of them; raises OSError."""
    fd = opened(path)
    try:
        return os.pread(fd, size, position)
    finally:
        os.close(fd)


def release() -> None:
    """Close what is held."""
    while _held:
        os.close(_held.popitem()[1])
