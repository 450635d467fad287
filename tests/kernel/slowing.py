# SPDX-License-Identifier: GPL-2.0
"""What makes one phase of an allocation long on purpose."""

from __future__ import annotations

import contextlib
import glob
import os
import struct
from array import array
from collections.abc import Iterator

from cmaobs.kernel.libbpf import ProgramKind, Programs
from kernel.pinning import lent

_CHUNK = 1 << 20
# include/uapi/linux/kernel-page-flags.h
_DIRTY, _LRU, _ANON, _SWAPBACKED = 1 << 4, 1 << 5, 1 << 12, 1 << 14
_READINGS = 250_000  # of the clock, in which the verifier still follows: tens of ms


def clean_cache(base_pfn: int, count: int, least: int) -> int:
    """Files are read until the area has so many pages that reclaim may drop: how many it has.

    Those are what reclaim_clean_pages_from_list() takes: page cache of a file, on the LRU, clean;
    of tmpfs it takes none. Memory is full meanwhile, so that the buddy lends: how full it takes
    depends on what has run before.
    """
    files = sorted(glob.glob("/usr/lib/*/lib*.so*"), key=os.path.getsize, reverse=True)
    found = 0
    for filled in (1, least, 2 * least):
        with lent(base_pfn, count, filled):
            for name in files:
                _read(name)
                found = _clean(base_pfn, count)
                if found >= least:
                    break
        if found >= least:
            return _clean(base_pfn, count)
    raise AssertionError(f"{found} pages of files are in the area")


def _read(name: str) -> None:
    """Read anew: what nobody maps leaves the page cache first."""
    file = os.open(name, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(file, _CHUNK):
            pass
    finally:
        os.close(file)


def _clean(base_pfn: int, count: int) -> int:
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        flags = array("Q", os.pread(file.fileno(), count * 8, base_pfn * 8))
    return sum(one & _LRU and not one & (_DIRTY | _ANON | _SWAPBACKED) for one in flags)


@contextlib.contextmanager
def slow_tracer(event: str, times: int = 1) -> Iterator[None]:
    """The kernel function that has the event within, so often, takes long: a tracer of it does."""
    code = b"".join(struct.pack("=BBhi", *one) for one in (
        (0xb7, 6, 0, _READINGS // times),  # r6 = so many
        (0x85, 0, 0, 5),          # bpf_ktime_get_ns()
        (0x17, 6, 0, 1),          # r6 -= 1
        (0x55, 6, -3, 0),         # again, unless r6 is 0
        (0xb7, 0, 0, 0), (0x95, 0, 0, 0)))
    lib = Programs("/")
    program = attached = -1
    try:
        program = lib.load("slow_tracer", ProgramKind.RAW_TRACEPOINT, code)
        attached = lib.open(program, event)
        yield
    finally:
        for one in (attached, program):
            if one >= 0:
                os.close(one)
        lib.close()
