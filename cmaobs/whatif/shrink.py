# SPDX-License-Identifier: GPL-2.0
"""How reclaim calls the shrinker of an area: do_shrink_slab() of mm/vmscan.c, Linux 6.1. Pure.

seeks is 0, as the series sets it, and the shrinker is neither of a memory cgroup nor of a node.
Reclaim's priority is not recorded: it is taken as DEF_PRIORITY, at which what one call left over
does not carry to the next.
"""

from __future__ import annotations

from collections.abc import Iterator

_DEFAULT = 128  # SHRINK_BATCH


def scans(freeable: int, batch: int) -> Iterator[int]:
    """nr_to_scan of each call of scan that follows a count of so many pages.

    The caller stops where a scan returned SHRINK_STOP.
    """
    size = batch or _DEFAULT
    left = freeable // 2
    while left and (left >= size or left >= freeable):
        yield min(size, left)
        left -= min(size, left)
