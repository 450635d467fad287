# SPDX-License-Identifier: GPL-2.0
"""tests/kernel/holder.py as a process that a test drives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kernel.tools import AREA, PATIENCE_S

_COMMAND = [sys.executable, "-I", "-S", str(Path(__file__).with_name("holder.py"))]


class Holder:
    """A process of a name of its own; a call sends a line and returns the answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen([*_COMMAND, name, AREA], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE)

    def __call__(self, *words: object) -> str:
        self.tell(*words)
        return self.answer()

    def tell(self, *words: object) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def answer(self) -> str:
        """Its answer."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """SIGKILL; the kernel then closes what it held."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
