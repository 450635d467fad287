# SPDX-License-Identifier: GPL-2.0
"""The two ways to allocate from an area.

A dma-buf heap gives a file descriptor, so the kernel takes the pages back when this process
ends, however it ends. debugfs does not: what was allocated there stays until somebody frees it,
and its "free" takes the newest block first, whoever made it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import threading
from typing import Protocol

from cmaobs.errors import UnsupportedError
from cmaobs.load.area import PAGE, Area, refused

_HEAP_ALLOC = 0xC0184800  # DMA_HEAP_IOCTL_ALLOC
_HEAP_DATA = struct.Struct("=QIIQ")  # len, fd, fd_flags, heap_flags


class Target(Protocol):
    """Allocates and releases. OSError where the kernel says no."""

    def alloc(self, pages: int) -> int:
        """Something to release it by."""

    def release(self, handle: int) -> int:
        """Pages released, which may be another allocation's."""

    def close(self) -> None: ...


class Heap:
    """Buffers from /dev/dma_heap, as a camera or a codec gets them."""

    def __init__(self, area: Area, touch: bool) -> None:
        path = area.heap
        if path is None:
            raise UnsupportedError(
                f"area {area.name} has no dma-buf heap",
                "--source debugfs, or a kernel with DMABUF_HEAPS_CMA",
            )
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise refused(path, err) from err
        self._touch = touch
        self._pages: dict[int, int] = {}

    def alloc(self, pages: int) -> int:
        data = bytearray(_HEAP_DATA.pack(pages * PAGE, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(self._fd, _HEAP_ALLOC, data)
        fd = int(_HEAP_DATA.unpack(data)[1])
        self._pages[fd] = pages
        if self._touch:
            with mmap.mmap(fd, pages * PAGE) as view:
                view[::PAGE] = b"\xa5" * pages
        return fd

    def release(self, handle: int) -> int:
        # Before the close: another thread may get the same number at once.
        pages = self._pages.pop(handle)
        os.close(handle)
        return pages

    def close(self) -> None:
        os.close(self._fd)


class Debugfs:
    """The area's alloc and free files.

    Releases come newest first, of the size that was allocated. With one thread each is
    exactly one allocation; with more the kernel may cut a block in two, which keeps the pages
    right but not the number of releases. Where a bit of the bitmap stands for several pages
    the kernel refuses to cut, so the threads take turns there.
    """

    def __init__(self, area: Area) -> None:
        if area.debugfs is None:
            raise UnsupportedError(
                f"area {area.name} is not in debugfs",
                "mount debugfs, run as root, or take a kernel with CMA_DEBUGFS",
            )
        fds = []
        for name in ("alloc", "free"):
            path = area.debugfs / name
            try:
                fds.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            except OSError as err:
                raise refused(path, err) from err
        self._alloc, self._free = fds
        self._lock = threading.Lock()
        self._turns = threading.Lock() if area.order_per_bit else None
        self._sizes: list[int] = []

    def alloc(self, pages: int) -> int:
        if self._turns:
            with self._turns:
                return self._do_alloc(pages)
        return self._do_alloc(pages)

    def _do_alloc(self, pages: int) -> int:
        os.write(self._alloc, b"%d\n" % pages)
        with self._lock:
            self._sizes.append(pages)
        return 0

    def release(self, handle: int) -> int:
        del handle  # the kernel chooses
        if self._turns:
            with self._turns:
                return self._do_release()
        return self._do_release()

    def _do_release(self) -> int:
        with self._lock:
            pages = self._sizes.pop()
        os.write(self._free, b"%d\n" % pages)
        return pages

    def close(self) -> None:
        os.close(self._alloc)
        os.close(self._free)


def make(area: Area, source: str, touch: bool) -> tuple[str, Target]:
    """source: heap, debugfs, or auto for the first of these that there is."""
    if source == "auto":
        source = "heap" if area.heap else "debugfs"
    return (source, Heap(area, touch) if source == "heap" else Debugfs(area))


def name_of(err: OSError) -> str:
    return errno.errorcode.get(err.errno or 0, str(err.errno))


def release_leftover(area: Area) -> None:
    """Everything that anybody allocated through debugfs and did not free."""
    target = Debugfs(area)
    try:
        os.write(target._free, b"%d\n" % area.pages)
    finally:
        target.close()
