# SPDX-License-Identifier: GPL-2.0
"""The frame of a recording: file header and chunks, each with a checksum.

Knows nothing of what chunks hold. All integers are little-endian. Sizes are
bounded before anything of that size is read, allocated or unpacked.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, NamedTuple

MAGIC = b"\x89cmaobs\n"  # not ASCII, and a newline: shows damage by text transfer
VERSION = 1
MAX_RAW = 16 << 20  # bytes of one chunk, unpacked
MAX_STORED = MAX_RAW + (MAX_RAW >> 8) + 64  # zlib adds less than this at worst

IDENTITY = b"IDEN"
RECORDS = b"RECS"
READING = b"READ"
PHASED = b"PHAS"
END = b"END "
TAGS = (IDENTITY, RECORDS, READING, PHASED, END)

_FILE = struct.Struct("<8sHHI")  # magic, version, 0, crc32 of the 12 bytes before
_CHUNK = struct.Struct("<4sIII")  # tag, stored bytes, raw bytes, crc32 of the stored bytes
_CRC = struct.Struct("<I")  # crc32 of the 16 bytes before
FILE_SIZE = _FILE.size
CHUNK_SIZE = _CHUNK.size + _CRC.size


class FrameError(Exception):
    """The bytes at offset are not what the format has there."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset = offset


class CutOffError(FrameError):
    """The file ends inside of something."""


class OtherVersionError(FrameError):
    """A recording, but of another version of the format."""


class Chunk(NamedTuple):
    """A chunk that passed its checks; offset is where its header begins."""

    tag: bytes
    data: bytes
    offset: int


def file_header() -> bytes:
    """The first FILE_SIZE bytes of a recording."""
    head = _FILE.pack(MAGIC, VERSION, 0, 0)[:12]
    return head + _CRC.pack(zlib.crc32(head))


def check_file_header(data: bytes) -> None:
    """Raise FrameError or a subclass unless data is a header of VERSION."""
    if not data.startswith(MAGIC):
        if data and MAGIC.startswith(data[:len(MAGIC)]):
            raise CutOffError(0, "ends inside the file header")
        raise FrameError(0, "this is no recording: it does not begin as one")
    if len(data) < FILE_SIZE:
        raise CutOffError(0, "ends inside the file header")
    _, version, _, crc = _FILE.unpack(data)
    if zlib.crc32(data[:12]) != crc:
        raise FrameError(0, "file header does not match its checksum")
    if version != VERSION:
        raise OtherVersionError(0, f"format version {version}, not {VERSION}")


def pack_chunk(tag: bytes, data: bytes) -> bytes:
    """A whole chunk; raises ValueError where data exceeds MAX_RAW."""
    if len(data) > MAX_RAW:
        raise ValueError(f"{len(data)} bytes in a {tag.decode()} chunk, at most {MAX_RAW} fit")
    stored = zlib.compress(data, 6)
    head = _CHUNK.pack(tag, len(stored), len(data), zlib.crc32(stored))
    return head + _CRC.pack(zlib.crc32(head)) + stored


def read_chunk(file: BinaryIO, offset: int) -> tuple[Chunk | None, int]:
    """The chunk at offset, where file stands, and the offset behind it.

    None at the end of the file. Raises FrameError where bytes are wrong and
    CutOffError where they end, or are zero to the end as some file systems
    leave them after a crash.
    """
    head = file.read(CHUNK_SIZE)
    if not head:
        return None, offset
    if not any(head) and _only_zeros(file):
        raise CutOffError(offset, "zeros to the end of the file")
    if len(head) < CHUNK_SIZE:
        raise CutOffError(offset, "ends inside a chunk's header")
    tag, stored_size, raw_size, crc = _CHUNK.unpack_from(head)
    if zlib.crc32(head[:_CHUNK.size]) != _CRC.unpack_from(head, _CHUNK.size)[0]:
        raise FrameError(offset, "chunk header does not match its checksum")
    if tag not in TAGS or stored_size > MAX_STORED or raw_size > MAX_RAW:
        raise FrameError(offset, f"chunk {tag!r} of {stored_size} bytes, {raw_size} unpacked")
    stored = file.read(stored_size)
    if len(stored) < stored_size:
        raise CutOffError(offset, f"ends inside a {tag.decode().strip()} chunk")
    if zlib.crc32(stored) != crc:
        raise FrameError(offset, f"{tag.decode().strip()} chunk does not match its checksum")
    return Chunk(tag, _unpack(stored, raw_size, offset), offset), offset + CHUNK_SIZE + stored_size


def _unpack(stored: bytes, raw_size: int, offset: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        # One byte more than promised, so that more than promised shows.
        data = unpacker.decompress(stored, raw_size + 1)
    except zlib.error as error:
        raise FrameError(offset, f"chunk does not unpack: {error}") from error
    if len(data) != raw_size or not unpacker.eof or unpacker.unused_data:
        raise FrameError(offset, f"chunk does not unpack to its {raw_size} bytes")
    return data


def _only_zeros(file: BinaryIO) -> bool:
    while block := file.read(1 << 16):
        if any(block):
            return False
    return True
