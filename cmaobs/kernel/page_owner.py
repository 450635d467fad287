# SPDX-License-Identifier: GPL-2.0
"""Who allocated pages before the observer came, where the kernel remembers it.

CONFIG_PAGE_OWNER, booted with page_owner=on: /sys/kernel/debug/page_owner tells of each page the
process and stack that took it from the buddy (mm/page_owner.c: print_page_owner). A read at a file
position gives the first allocated page from that pfn on. Pages without cma_alloc on the stack are
left out. A page that a kernel with deferred freeing granted again without the buddy shows who had
it from the buddy last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cmaobs.kernel import held
from cmaobs.state import Owned, Run

FILE = "sys/kernel/debug/page_owner"
_MOST = 65536  # pages: one read each
_PAGE = re.compile(r"Page allocated via order (\d+), .* pid (\d+)(?:, tgid (\d+) \((.*)\))?, "
                   r"ts (\d+) ns.*\nPFN (0x[0-9a-f]+|\d+) ")
_FRAME = re.compile(r"^ (\S+?)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)\])?", re.MULTILINE)
_CMA = re.compile(r"_*cma_alloc\w*$")


class _Told(NamedTuple):
    """What one read says: of 1 << order pages."""

    pfn: int
    order: int
    pid: int
    comm: str
    since_ns: int
    frames: tuple[str, ...]


def read(runs: Iterable[Run], root: str | os.PathLike[str] = "/") -> tuple[Owned, ...]:
    """Owners of the pages in these runs, ascending; empty where the kernel does not remember.

    Looks at 65536 pages at most.
    """
    try:
        fd = held.opened(Path(root) / FILE)
    except OSError:
        return ()
    found: list[Owned] = []
    try:
        left = _MOST
        for first, pages in runs:
            pfn, end = first, first + pages
            while pfn < end and left > 0:
                left -= 1
                told = parse(os.pread(fd, 4096, pfn).decode("utf-8", "replace"))
                if told is None or told.pfn >= end:
                    break
                if told.frames and told.pfn >= pfn:
                    size = min(1 << told.order, end - told.pfn)
                    _add(found, Owned(told.pfn, size, told.since_ns, told.pid, told.comm,
                                      told.frames))
                pfn = max(pfn, told.pfn) + (1 << told.order)
    except OSError:
        pass  # what was read is true, and the rest stays without an owner
    finally:
        os.close(fd)
    return tuple(found)


def holder(pfn: int, root: str | os.PathLike[str], frames: int) -> str:
    """Who took this page from the buddy, with so many functions of the stack; "" if not known."""
    try:
        text = held.read_at(Path(root) / FILE, 4096, pfn).decode("utf-8", "replace")
    except OSError:
        return ""
    told = parse(text)
    if told is None or not told.pfn <= pfn < told.pfn + (1 << told.order):
        return ""
    stack = [name for name, _ in _FRAME.findall(text)][:frames]
    return f"{told.comm}[{told.pid}]" + (f" in {' < '.join(stack)}" if stack else "")


def parse(text: str) -> _Told | None:
    """One page's text; None where it is none. frames: from cma_alloc on, empty without it."""
    match = _PAGE.match(text)
    if match is None:
        return None
    order, pid, tgid, comm, ts_ns, pfn = match.groups()
    frames = [f"{name} [{module}]" if module else name
              for name, module in _FRAME.findall(text, match.end())]
    start = next((at for at, one in enumerate(frames) if _CMA.match(one)), len(frames))
    return _Told(int(pfn, 0), int(order), int(tgid or pid), comm or "", int(ts_ns),
                 tuple(frames[start:]))


def _add(found: list[Owned], one: Owned) -> None:
    """Adjacent pages of the same owner and stack are one run, as old as its oldest page."""
    if found:
        last = found[-1]
        if (last.pfn + last.pages == one.pfn and last.pid == one.pid and last.comm == one.comm
                and last.frames == one.frames):
            found[-1] = last._replace(pages=last.pages + one.pages,
                                      since_ns=min(last.since_ns, one.since_ns))
            return
    found.append(one)
