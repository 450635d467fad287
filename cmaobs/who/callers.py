# SPDX-License-Identifier: GPL-2.0
"""Who asked: a process or kernel thread, and the driver that asked for it. Pure data."""

from __future__ import annotations

from typing import NamedTuple

PROCESS, KTHREAD, NOT_TOLD = "process", "kthread", "unknown"


class Caller(NamedTuple):
    """Who called cma_alloc.

    kind: process, kthread, or unknown where the record does not tell; before or missed where
    there is no record. comm: the thread's name at that time. pid: of the process (tgid). driver:
    as drivers.driver_of() names it, or unknown where there is no stack. stack: the record's number
    of the kernel stack, 0 for none.
    """

    kind: str
    comm: str
    pid: int
    driver: str
    stack: int

    @property
    def name(self) -> str:
        """comm, with what differs between the kernel's worker threads left out."""
        return self.comm.partition("/")[0] if self.kind == KTHREAD else self.comm

    @property
    def unseen(self) -> bool:
        """Whether the allocation was not seen; comm and pid are then page_owner's, or empty."""
        return self.kind in (BEFORE.kind, MISSED.kind)


BEFORE = Caller("before", "", 0, "", 0)
"""In the place of a caller: pages that were allocated before the observer came."""
MISSED = Caller("missed", "", 0, "", 0)
"""Pages whose allocation should have been seen, and was not: its record was lost."""
