# SPDX-License-Identifier: GPL-2.0
"""A program on a pty, a terminal in memory that shows what it draws, and keys."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from typing import Self

import pyte

UP, DOWN, RIGHT, LEFT = (b"\x1bO" + letter for letter in (b"A", b"B", b"C", b"D"))
_PATIENCE_S = 300  # for what takes a moment where nothing else runs
ENTER, ESCAPE, BACKSPACE, INTERRUPT = b"\r", b"\x1b", b"\x7f", b"\x03"


class Terminal:
    """Runs a command there. term: what it is told to be; size 0x0 is what a serial line says."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], term: str = "vt100",
                 columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.Screen(columns or 80, lines or 24)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self._master, slave = pty.openpty()
        self._size(columns, lines)
        without = {name: value for name, value in environment.items()
                   if name not in ("LINES", "COLUMNS", "NO_COLOR")}
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={"TZ": "UTC", **without, "TERM": term},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # noqa: PLW1509
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """As when the user drags the window's corner."""
        self.screen.resize(lines, columns)
        self._size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    @property
    def text(self) -> str:
        """What the user sees."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, *keys: bytes) -> None:
        """Send keys."""
        for key in keys:
            os.write(self._master, key)

    def until(self, what: str | Callable[[str], object], timeout_s: float = _PATIENCE_S) -> str:
        """The screen once it shows the text, or once what(screen) is true.

        What is drawn beside it may still be on its way: ask for all that is to be looked at.
        """
        deadline = time.monotonic() + timeout_s
        while not (what in self.text if isinstance(what, str) else what(self.text)):
            assert time.monotonic() < deadline, f"no {what} in\n{self.text}"
            ended = not self._read(0.1) and self.process.poll() is not None
            assert not ended or self._read(0.1), \
                f"ended with {self.process.returncode}, no {what} in\n{self.text}"
        return self.text

    def match(self, pattern: str, timeout_s: float = _PATIENCE_S) -> re.Match[str]:
        """Where the pattern is, once the screen shows it; ^ and $ are of a line."""
        wanted = re.compile(pattern, re.MULTILINE)
        found = wanted.search(self.until(wanted.search, timeout_s))
        assert found is not None
        return found

    def end(self, timeout_s: float = _PATIENCE_S) -> int:
        """Its exit status, once it has ended."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.sent += data
        self._stream.feed(data)
        return bool(data)
