# SPDX-License-Identifier: GPL-2.0
"""A process of a name of its own that holds dma-bufs and does as it is told, a line at a time.

    python holder.py NAME AREA

alloc PAGES        a buffer from the heap: its descriptor, or the errno's name
map FD PAGES       map it; close FD; name FD NAME: DMA_BUF_SET_NAME
send PATH FD, receive PATH: pass a descriptor over a socket
debugfs PAGES      allocate by the area's debugfs file; free PAGES
Each line is answered by one. Ends with its input.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import struct
import sys
import time
from pathlib import Path

_ALLOC, _NAME = 0xC0184800, 0x40086201  # DMA_HEAP_IOCTL_ALLOC, DMA_BUF_SET_NAME
_area = sys.argv[2]
kept: list[mmap.mmap] = []


def do(what: str, *words: str) -> str:
    """Obey; what to answer."""
    if what == "alloc":
        heap = os.open(f"/dev/dma_heap/{_area}", os.O_RDONLY)
        try:
            data = bytearray(struct.pack("=QIIQ", int(words[0]) * mmap.PAGESIZE, 0, os.O_RDWR, 0))
            fcntl.ioctl(heap, _ALLOC, data)
            return str(struct.unpack("=QIIQ", data)[1])
        finally:
            os.close(heap)
    elif what == "map":
        kept.append(mmap.mmap(int(words[0]), int(words[1]) * mmap.PAGESIZE))
    elif what == "name":
        fcntl.ioctl(int(words[0]), _NAME, words[1].encode() + b"\0")
    elif what == "close":
        os.close(int(words[0]))
    elif what == "receive":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(words[0])
            server.listen()
            connection, _ = server.accept()
            with connection:
                return str(socket.recv_fds(connection, 1, 1)[1][0])
    elif what == "send":
        with socket.socket(socket.AF_UNIX) as client:
            while client.connect_ex(words[0]):  # until the other listens
                time.sleep(0.1)
            socket.send_fds(client, [b"x"], [int(words[1])])
    elif what in ("debugfs", "free"):
        file = os.open(f"/sys/kernel/debug/cma/{_area}/"
                       f"{'alloc' if what == 'debugfs' else 'free'}", os.O_WRONLY)
        try:
            os.write(file, words[0].encode())
        finally:
            os.close(file)
    else:
        return "what?"
    return "ok"


def main() -> None:
    """Answer until the input ends."""
    Path("/proc/self/comm").write_text(sys.argv[1])
    for line in sys.stdin:
        try:
            print(do(*line.split()), flush=True)
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)


if __name__ == "__main__":
    main()
