# SPDX-License-Identifier: GPL-2.0
"""What a guest's console tells about its end."""

from __future__ import annotations

import re

TAIL = 30
_ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|c)|\r")

_DEATHS = (
    (r"Kernel panic - not syncing: (.*)", "the guest panicked: {}"),
    (r"(?:BUG|Oops|general protection fault): ?(.*)", "the guest oopsed: {}"),
)
# Before the command started, the kernel is probably one that cannot run here.
_LACKS = (
    (
        r"Unable to mount root|Failed to mount real root|Cannot open root device"
        r"|No filesystem could mount root",
        "no root over 9p: the kernel needs PCI, VIRTIO_PCI, NET_9P_VIRTIO, 9P_FS "
        "(or these as modules in its /lib/modules)",
    ),
    (
        r"\(error -8\)",
        "it cannot run programs: the kernel needs BINFMT_ELF, BINFMT_SCRIPT and 64BIT",
    ),
    (
        r"no virtio ports|cannot find script I/O ports",
        "no ports to the host: the kernel needs VIRTIO_CONSOLE and DEVTMPFS, "
        "and the host's root needs udev",
    ),
    (r"Requested init .* failed|No working init", "virtme's init did not start"),
)
_SILENT = (
    "nothing on its console: not a kernel for this machine, "
    "or without SERIAL_8250_CONSOLE, TTY or PRINTK"
)


class Console:
    """The last lines of a console, cleaned of escape sequences."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> None:
        # Enough for a panic's trace of both CPUs; a guest can print without end.
        self._text = (self._text + data.decode("utf-8", "replace"))[-65536:]

    def lines(self) -> list[str]:
        return [line for line in _ESCAPES.sub("", self._text).splitlines() if line.strip()]

    def tail(self) -> list[str]:
        return self.lines()[-TAIL:]

    def death(self, started: bool) -> str:
        """Why the guest ended without a status, in one line."""
        text = "\n".join(self.lines())
        if not started:
            for pattern, meaning in _LACKS:
                if re.search(pattern, text):
                    return f"the kernel came up, but {meaning}"
        for pattern, meaning in _DEATHS:
            match = re.search(pattern, text)
            if match:
                return meaning.format(match[1])
        if not started and not text:
            return f"the guest did not boot: {_SILENT}"
        return "the guest ended without a word" if started else "the guest ended while booting"
