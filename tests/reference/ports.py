# SPDX-License-Identifier: GPL-2.0
"""Ports for servers that are told theirs before they listen."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10000


def free_port() -> int:
    """A port that nobody listens on now.

    Below those that the kernel hands out to whoever connects or asks for any: else another test,
    of this run or of one beside it, may be given it before the server listens.
    """
    end = int(_RANGE.read_text().split()[0])
    while True:
        port = _LOWEST + secrets.randbelow(end - _LOWEST) if end > 2 * _LOWEST else 0
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = sock.getsockname()[1]
            return found
