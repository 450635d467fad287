# SPDX-License-Identifier: GPL-2.0
"""Memory follows what is held: glibc gives large blocks back to the kernel when they are freed."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h; musl has no mallopt
LARGE = 128 << 10  # bytes: what both are at first


def steady() -> None:
    """Keep both thresholds where they are at first; nothing to be done with another C library.

    Left alone, they grow with the largest block that was freed (mallopt(3)), up to 32 MiB: batches
    of records then come from the heap, where what lives longer keeps their room from being freed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(threshold, LARGE)
