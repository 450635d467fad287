# SPDX-License-Identifier: GPL-2.0
"""Sets of pages as whole numbers: bit i stands for page (or granule) i.

A set of 16384 pages is a number of 2 KiB, and union, difference and
shift of such sets take well under a microsecond. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

Run = tuple[int, int]  # (first, length)


def bits(first: int, length: int) -> int:
    """The set of length members from first on; empty where length is 0."""
    return ((1 << length) - 1) << first


def union(runs: Iterable[Run], base: int = 0) -> int:
    """All members of runs, counted from base."""
    result = 0
    for first, length in runs:
        result |= bits(first - base, length)
    return result


def runs(members: int, base: int = 0) -> tuple[Run, ...]:
    """Maximal runs of members, ascending, with base added to each first."""
    found = []
    first = 0
    while members:
        skip = (members & -members).bit_length() - 1
        members >>= skip
        first += skip
        length = (~members & (members + 1)).bit_length() - 1
        found.append((first + base, length))
        members >>= length
        first += length
    return tuple(found)


def longest(members: int) -> int:
    """Members of the longest run."""
    starts, have = [members], 1  # starts[k]: where runs of 2^k begin, at least
    while more := starts[-1] & starts[-1] >> have:
        starts.append(more)
        have *= 2
    at = starts.pop()
    if not at:
        return 0
    for power in reversed(range(len(starts))):
        if more := at & starts[power] >> have:
            at, have = more, have + (1 << power)
    return have


@lru_cache(maxsize=256)
def aligned(size: int, mask: int, offset: int) -> int:
    """Every index below size with (index + offset) & mask == 0; mask + 1 is a power of 2."""
    result, have = 1 << (-offset & mask), mask + 1
    while have < size + mask + 1:
        result |= result << have
        have *= 2
    return result & bits(0, size)


def first_fit(clear: int, size: int, length: int, mask: int = 0, offset: int = 0,
              start: int = 0) -> int | None:
    """The lowest index that bitmap_find_next_zero_area_off() may return, or None.

    clear: clear bits of a bitmap of size bits. The run lies below size, does
    not begin below start, and (index + offset) & mask is 0.
    """
    fits = clear & bits(0, size)
    have = 1
    while have < length and fits:  # bit i of fits: the `have` bits from i on are clear
        more = min(have, length - have)
        fits &= fits >> more
        have += more
    if mask:
        fits &= aligned(size, mask, offset)
    fits >>= start
    return start + (fits & -fits).bit_length() - 1 if fits else None
