# SPDX-License-Identifier: GPL-2.0
"""One guest's life: output, deadlines, signals, exit status.

QEMU's ports are socket pairs, so a guest leaves no file behind. It runs in a
session of its own: the terminal's Ctrl-C reaches this process only, which hands it to the
command in the guest and gives that some time to finish.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

from .console import Console

TIMEOUT_STATUS = 124
LOST_STATUS = 125

GRACE = 300.0  # for a command that was told to end: it may get little of a busy machine
POWEROFF = 10.0  # for a guest that has reported its status
# Without a beat, which comes every 10 s of the guest's time: hung. Where that is counted in
# instructions a busy second of it takes tens of seconds.
SILENCE, SILENCE_ICOUNT = 120.0, 1200.0
_PR_SET_PDEATHSIG = 1


class Lost(Exception):
    """The guest is gone or of no use; says why."""

    status = LOST_STATUS


class Overdue(Lost):
    """The guest lives, but its time is over."""

    status = TIMEOUT_STATUS


def note(text: str) -> None:
    print(f"device: {text}", file=sys.stderr, flush=True)


class Session:
    """Starts QEMU, carries its output, and waits for the end."""

    def __init__(
        self,
        timeout: float | None,
        boot_timeout: float,
        silence: float,
        log: IO[bytes] | None,
        verbose: bool,
    ) -> None:
        self.console = Console()
        self._timeout = timeout
        self._boot_timeout = boot_timeout
        self._silence = silence
        self._log = log
        self._verbose = verbose
        self._ours: dict[str, socket.socket] = {}
        self._theirs: dict[str, socket.socket] = {}
        for name in ("console", "control", "stdout", "stderr", "status"):
            self._ours[name], self._theirs[name] = socket.socketpair()
        self._pending = b""
        self._started = False
        self._status: int | None = None
        self._failure = ""
        self._last_beat = 0.0
        self._signals: list[int] = []
        self._qemu: subprocess.Popen[bytes] | None = None

    def ports(self) -> dict[str, int]:
        """The descriptors that QEMU shall use, by name."""
        return {name: end.fileno() for name, end in self._theirs.items()}

    def run(self, argv: list[str], kept: list[int], script: bytes) -> int:
        """The command's exit status, or one of ours. Nothing runs afterwards."""
        fds = (*self.ports().values(), *kept)
        with contextlib.ExitStack() as stack:
            wake = self._catch_signals(stack)
            parent = os.getpid()

            def die_with_parent() -> None:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)

            self._qemu = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - there are no threads here
            )
            stack.callback(self._reap)
            for end in self._theirs.values():
                end.close()
            self._ours["control"].sendall(script)
            try:
                return self._watch(wake)
            except BrokenPipeError:
                return 128 + signal.SIGPIPE

    def _reap(self) -> None:
        assert self._qemu is not None
        self._qemu.kill()
        self._qemu.wait()

    def _catch_signals(self, stack: contextlib.ExitStack) -> socket.socket:
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        stack.callback(reader.close)
        stack.callback(writer.close)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer.fileno()))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.signal(number, lambda got, _frame: self._signals.append(got))
            stack.callback(signal.signal, number, before)
        return reader

    def _watch(self, wake: socket.socket) -> int:
        assert self._qemu is not None
        assert self._qemu.stderr is not None
        begin = self._last_beat = time.monotonic()
        complaint = bytearray()
        handlers: dict[str, Callable[[bytes], None]] = {
            "console": self._on_console,
            "stdout": lambda data: _write(1, data),
            "stderr": lambda data: _write(2, data),
            "status": self._on_status,
        }
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ, None)
            for name, handler in handlers.items():
                selector.register(self._ours[name], selectors.EVENT_READ, handler)
            selector.register(self._qemu.stderr, selectors.EVENT_READ, complaint.extend)
            deadline: float | None = None  # once the end is in sight
            while len(selector.get_map()) > 1:
                for key, _ in selector.select(0.5):
                    data = _read(key.fd)
                    if key.data is None:
                        deadline = self._pass_signal(deadline)
                    elif data:
                        key.data(data)
                    else:
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if self._status is not None and deadline is None:
                    deadline = now + POWEROFF
                if deadline is not None and now > deadline:
                    break
                if deadline is None:
                    self._check_time(now, begin)
        return self._end(bytes(complaint))

    def _end(self, complaint: bytes) -> int:
        if self._status is not None:
            return self._status
        if self._signals:
            return 128 + self._signals[0]
        if self._failure:
            raise Lost(self._failure)
        said = complaint.decode("utf-8", "replace").strip().splitlines()
        if said and not self.console.lines():
            raise Lost(f"QEMU did not start: {said[-1]}")
        raise Lost(self.console.death(self._started))

    def _pass_signal(self, deadline: float | None) -> float:
        """The first signal goes to the command, a second one ends the guest."""
        now = time.monotonic()
        if len(self._signals) > 1 or not self._started:
            return now
        name = signal.Signals(self._signals[0]).name.removeprefix("SIG")
        with contextlib.suppress(OSError):
            self._ours["control"].sendall(f"{name}\n".encode())
        return deadline or now + GRACE

    def _check_time(self, now: float, begin: float) -> None:
        if self._timeout is not None and now - begin > self._timeout:
            raise Overdue(f"the guest did not finish within {self._timeout:g} s")
        if not self._started and now - begin > self._boot_timeout:
            raise Lost(f"the guest did not boot within {self._boot_timeout:g} s")
        if self._started and now - self._last_beat > self._silence:
            raise Lost(f"the guest hangs: no sign of life for {self._silence:g} s")

    def _on_console(self, data: bytes) -> None:
        self.console.feed(data)
        if self._log:
            self._log.write(data)
            self._log.flush()
        if self._verbose:
            _write(2, data.replace(b"\r", b""))

    def _on_status(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        self._last_beat = time.monotonic()
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if word == "started":
                self._started = True
            elif word == "note":
                note(f"warning: {rest}")
            elif word == "fail":
                self._failure = rest
            elif word == "status" and not self._failure:
                self._status = int(rest)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except ConnectionResetError:  # QEMU went with bytes of ours unread
        return b""


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(fd, selectors.EVENT_WRITE)
                selector.select()
