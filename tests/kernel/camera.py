# SPDX-License-Identifier: GPL-2.0
"""A camera of the media subsystem, as far as it takes to make it allocate its buffers.

Numbers are of include/uapi/linux/videodev2.h, 64 bits.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

_S_FMT, _REQBUFS = 0xC0D05605, 0xC0145608
_CAPTURE, _MMAP = 1, 1
_RGB24 = int.from_bytes(b"RGB3", "little")
_FORMAT = struct.Struct("=II6I176x")  # type, padding, width to sizeimage of v4l2_pix_format
_BUFFERS = struct.Struct("=IIIII")


class Camera:
    """The device whose name in sysfs begins so, with a frame of so many pixels."""

    def __init__(self, name: str, width: int, height: int) -> None:
        """size: of a buffer, bytes."""
        node = next(path.parent.name for path in Path("/sys/class/video4linux").glob("*/name")
                    if path.read_text().startswith(name))
        self._fd = os.open(f"/dev/{node}", os.O_RDWR | os.O_CLOEXEC)
        asked = bytearray(_FORMAT.pack(_CAPTURE, 0, width, height, _RGB24, 1, 0, 0))
        fcntl.ioctl(self._fd, _S_FMT, asked)
        self.size: int = _FORMAT.unpack(asked)[7]

    def buffers(self, count: int) -> int:
        """Give those back that it has and get so many anew; how many it got."""
        asked = bytearray(_BUFFERS.pack(count, _CAPTURE, _MMAP, 0, 0))
        fcntl.ioctl(self._fd, _REQBUFS, asked)
        got: int = _BUFFERS.unpack(asked)[0]
        return got

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.close(self._fd)
