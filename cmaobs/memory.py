# SPDX-License-Identifier: GPL-2.0
"""Memory follows what is held: what was freed goes back to the kernel. With glibc; where the C
library has not what is called here, nothing is done.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 128 << 10  # bytes: what both are at first
EVERY = 1 << 16  # records, between two calls of give_back()


def steady() -> None:
    """Large blocks go back when they are freed: keep both thresholds where they are at first.

    Left alone, they grow with the largest block that was freed (mallopt(3)), up to 32 MiB: batches
    of records then come from the heap, where what lives longer keeps their room from being freed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(threshold, LARGE)


def give_back() -> None:
    """What is free in the middle of the heap, too (malloc_trim(3)); left alone, only its end is."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
