# SPDX-License-Identifier: GPL-2.0
"""What all formats say in the same words. Pure."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from cmaobs.events import Kind, Record
from cmaobs.state import Run


def error_name(record: Record) -> str:
    """The error that ended an allocation or a contig call, by its name; or empty."""
    if record.kind in (Kind.ALLOC, Kind.CONTIG) and record.ret < 0:
        return errno.errorcode.get(-record.ret, str(record.ret))
    return ""


def thread_name(record: Record) -> str:
    """comm, as text."""
    return comm_text(record.comm)


def comm_text(comm: bytes) -> str:
    """The name of a thread, as the kernel keeps it."""
    return comm.partition(b"\0")[0].decode("utf-8", "replace")


def runs(pages: Iterable[Run]) -> str:
    """First pfn and pages of each."""
    return ", ".join(f"{pfn:#x}+{count}" for pfn, count in pages)
