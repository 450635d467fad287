# SPDX-License-Identifier: GPL-2.0
"""Which pages of an area are free in the buddy, and which are lent: /proc/kpageflags.

The file has 8 bytes of flags for each page of the machine (fs/proc/page.c), and is read without a
lock while pages move: a page may have changed between the bitmap and its flags. What is free in the
buddy is flagged so to the last page since Linux 4.6 (832fc1de01ae).
"""

from __future__ import annotations

import os
import re
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from cmaobs.errors import KernelReadError
from cmaobs.kernel import held
from cmaobs.state import AreaState, Placed, Run

# include/uapi/linux/kernel-page-flags.h; flags above bit 31 are for kernel hackers.
_BUDDY, _HWPOISON, _NOPAGE, _OFFLINE, _IDLE = 1 << 10, 1 << 19, 1 << 20, 1 << 23, 1 << 25
_NOWHERE = _HWPOISON | _NOPAGE | _OFFLINE
_USED = 0xFFFFFFFF & ~(_BUDDY | _NOWHERE | _IDLE)
FILE = "proc/kpageflags"
_MOST = 1 << 22  # pages looked at: 16 GiB
_AT_ONCE = 1 << 16


class Places:
    """Looks up where pages are every lent_s seconds (None: never)."""

    def __init__(self, root: str, lent_s: float | None) -> None:
        self._root, self._lent_s = root, lent_s
        self._due = 0.0

    def looked_up(self, states: Iterable[AreaState]) -> tuple[AreaState, ...]:
        """The states, each as it comes with its pages' places, if it is time to look."""
        if self._lent_s is None or time.monotonic() < self._due:
            return tuple(states)
        found = tuple(state if state.fault else
                      replace(state, placed=read(state.facts.runs, self._root))
                      for state in states)
        self._due = time.monotonic() + self._lent_s
        return found


def read(runs: Iterable[Run], root: str | os.PathLike[str] = "/") -> Placed:
    """Which of these pages (ascending runs) are lent, and which neither lent nor in the buddy."""
    path = Path(root) / FILE
    kinds: dict[str, list[Run]] = {"lent": [], "elsewhere": [], "buddy": []}
    looked = 0
    try:
        with open(held.opened(path), "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            for first, pages in runs:
                looked += pages
                if looked > _MOST:
                    return Placed(fault=f"more than {_MOST} pages to look at")
                at = first
                for flags in _flags(file.fileno(), first, pages):
                    for kind, same in groupby(flags, _kind):
                        length = sum(1 for _ in same)
                        _add(kinds[kind], (at, length))
                        at += length
                if at != first + pages:
                    return Placed(fault=f"{path} ends before the area does")
    except OSError as error:
        return Placed(fault=f"{path}: {error.strerror}")
    return Placed(tuple(kinds["lent"]), tuple(kinds["elsewhere"]))


def pageblock_pages(root: str | os.PathLike[str] = "/") -> int:
    """Pages of a pageblock, the unit that CMA isolates; raises KernelReadError."""
    path = Path(root) / "proc/pagetypeinfo"
    try:
        match = re.search(r"^Pages per block: *(\d{1,7})$", path.read_text(), re.MULTILINE)
    except OSError as error:
        raise KernelReadError(f"{path}: {error.strerror}", "run as root, or use --grain page"
                              ) from error
    if match is None or not int(match[1]):
        raise KernelReadError(f"{path} does not say how large a pageblock is", "use --grain page")
    return int(match[1])


def _flags(fd: int, first: int, pages: int) -> Iterator[array[int]]:
    for at in range(0, pages, _AT_ONCE):
        want = min(pages - at, _AT_ONCE) * 8
        data = os.pread(fd, want, (first + at) * 8)
        flags = array("Q")
        flags.frombytes(data[:len(data) // 8 * 8])
        yield flags
        if len(data) < want:
            return


def _kind(flags: int) -> str:
    if flags & _BUDDY:
        return "buddy"
    return "lent" if flags & _USED and not flags & _NOWHERE else "elsewhere"


def _add(runs: list[Run], run: Run) -> None:
    if runs and sum(runs[-1]) == run[0]:
        runs[-1] = runs[-1][0], runs[-1][1] + run[1]
    else:
        runs.append(run)
