# SPDX-License-Identifier: GPL-2.0
"""The wire format, read from probes/wire.h, its only definition.

Owns the mapping from the C structs to Python: names and struct formats. Pure
but for reading the header once, when it is first imported.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib import resources
from typing import Any

from cmaobs import declared

_FORMATS = {"uint64_t": "Q", "int64_t": "q", "uint32_t": "I", "int32_t": "i",
            "uint16_t": "H", "int16_t": "h", "uint8_t": "B"}


def header_text() -> str:
    """The text of probes/wire.h as it was installed with the package."""
    return resources.files("probes").joinpath("wire.h").read_text()


_FFI = declared.ffi(header_text())


def constant(name: str) -> int:
    """The value of an enumerator of wire.h.

    Raises AttributeError where the header has no such name.
    """
    return int(getattr(_CONSTANTS, name))


_CONSTANTS = _FFI.dlopen(None)


def size(name: str) -> int:
    """Bytes of ``struct name``."""
    return int(_FFI.sizeof(f"struct {name}"))


def offset(name: str, member: str) -> int:
    """Bytes from the start of ``struct name`` to a member."""
    return int(_FFI.offsetof(f"struct {name}", member))


class Layout:
    """One struct of flat members: field names, size in bytes, and a codec."""

    def __init__(self, name: str) -> None:
        self.name = name
        members = _FFI.typeof(f"struct {name}").fields
        self.fields = tuple(field for field, _ in members)
        self._struct = struct.Struct("=" + "".join(_code(m.type) for _, m in members))
        self.size = self._struct.size
        if self.size != size(name):
            raise ValueError(f"struct {name} of wire.h has padding")

    def unpack(self, data: bytes | memoryview, offset: int = 0) -> tuple[Any, ...]:
        """Values in field order; raises struct.error where data is too short."""
        return self._struct.unpack_from(data, offset)

    def iter_unpack(self, data: bytes | memoryview) -> Iterator[tuple[Any, ...]]:
        """Values of each struct in data, whose length is a multiple of size."""
        return self._struct.iter_unpack(data)

    def only(self, *members: str) -> struct.Struct:
        """A codec of these members alone; they must be in the struct's order."""
        codes = {name: _code(member.type)
                 for name, member in _FFI.typeof(f"struct {self.name}").fields}
        if tuple(name for name in codes if name in members) != members:
            raise ValueError(f"struct {self.name} has not {', '.join(members)} in this order")
        return struct.Struct("=" + "".join(
            code if name in members else f"{struct.calcsize('=' + code)}x"
            for name, code in codes.items()))

    def pack(self, *values: Any) -> bytes:
        """The struct's bytes; values in field order."""
        return self._struct.pack(*values)


def _code(ctype: Any) -> str:
    if ctype.kind == "array":
        item = ctype.item.cname
        if item == "char":
            return f"{ctype.length}s"
        return f"{ctype.length}{_FORMATS[item]}"
    return _FORMATS[ctype.cname]
