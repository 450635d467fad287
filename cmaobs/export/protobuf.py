# SPDX-License-Identifier: GPL-2.0
"""Protocol Buffers' wire format, as far as writing needs it. Pure.

protobuf.dev/programming-guides/encoding: a field is its number and wire type, then a varint (0)
or a length and so many bytes (2).
"""

from __future__ import annotations

from functools import lru_cache

_SMALL = tuple(bytes((value,)) for value in range(128))
_MASK = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; a negative number as its two's complement of 64 bits."""
    if 0 <= value < 128:
        return _SMALL[value]
    value &= _MASK
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=1 << 14)  # most of a trace's numbers come again and again
def number(field: int, value: int) -> bytes:
    """A field of any integer type but sint and fixed; also bool and enum."""
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    """A field that is a message, made of its own fields."""
    data = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(data)) + data


def text(field: int, value: str) -> bytes:
    """A string field."""
    return message(field, value.encode("utf-8", "replace"))
