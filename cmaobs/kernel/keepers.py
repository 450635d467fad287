# SPDX-License-Identifier: GPL-2.0
"""What the kernel's files tell about who holds pages, looked up along with readings."""

from __future__ import annotations

import dataclasses
import os
import time

from cmaobs.buffers import Buffers
from cmaobs.kernel import dmabuf, heaps, page_owner
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.heaps import HeapReader
from cmaobs.kernel.plan import Plan
from cmaobs.state import AreaState, Owned


class Keepers:
    """Looks up dma-bufs every buffers_s (None: never), and owners of pages once."""

    def __init__(self, reader: AreaReader, plan: Plan, root: str, buffers_s: float | None) -> None:
        self._areas, self._root, self._buffers_s = reader.areas, root, buffers_s
        self._heaps = HeapReader(reader, plan) if buffers_s is not None else None
        self._due = 0.0
        self._owners_read = False

    def buffers(self) -> Buffers | None:
        """Who holds dma-bufs, if it is time to look."""
        if self._heaps is None or time.monotonic() < self._due:
            return None
        found = dmabuf.read(self._root)
        tied = heaps.tied(found.found, self._heaps.runs(), self._areas, os.sysconf("SC_PAGESIZE"))
        self._due = time.monotonic() + (self._buffers_s or 0)
        return dataclasses.replace(found, found=tied)

    def owners(self, states: tuple[AreaState, ...]) -> tuple[Owned, ...]:
        """Of all that is allocated, at the first call; then nothing."""
        if self._owners_read:
            return ()
        self._owners_read = True
        return page_owner.read((run for state in states for run in state.allocated), self._root)
