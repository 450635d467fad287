# SPDX-License-Identifier: GPL-2.0
"""dma-bufs and the processes that hold them now, as read. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Tie = Literal["pages", "exporter", "none"]


class Use(NamedTuple):
    """What one process holds of one buffer: open file descriptors, and mappings (VMAs)."""

    pid: int
    comm: str
    fds: int
    maps: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """One dma-buf.

    ino: its inode, which is unique among dma-bufs. size: bytes, 0 where not known. exporter, name:
    as the kernel has them. uses: by pid. devices: attached. references: of its file, None where
    the kernel does not tell; what exceeds fds and mappings is held inside the kernel. run: its
    first pfn and pages. tie: how area and run are known: "pages" (read from the kernel: exact),
    "exporter" (the exporter is named after the area, no pages), "none" (not of a known area).
    """

    ino: int
    size: int
    exporter: str
    name: str
    uses: tuple[Use, ...] = ()
    devices: tuple[str, ...] = ()
    references: int | None = None
    area: str = ""
    run: tuple[int, int] | None = None
    tie: Tie = "none"

    @property
    def kernel_references(self) -> int | None:
        """References that no fd and no mapping accounts for; None where not known."""
        if self.references is None:
            return None
        return max(self.references - sum(use.fds + use.maps for use in self.uses), 0)


@dataclass(frozen=True, slots=True)
class Buffers:
    """All dma-bufs that were found, by inode.

    unreadable: processes whose fds or mappings could not be read. listed: whether the kernel listed
    all buffers (debugfs or sysfs), so that those which no process holds are here as well.
    """

    found: tuple[Buffer, ...]
    unreadable: int = 0
    listed: bool = False
