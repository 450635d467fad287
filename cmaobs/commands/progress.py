# SPDX-License-Identifier: GPL-2.0
"""A line that says how far long work is, where standard error is a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource

_PATIENCE_S = 1.0  # what takes less shows nothing
_EVERY_S = 0.2


class Progress:
    """Shows a share done on one line, which is wiped at the end. Nothing where no one looks.

    shown: whether someone looks; None finds out from the stream.
    """

    def __init__(self, what: str, stream: TextIO | None = None,
                 shown: bool | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._shown = 0
        self._began = time.monotonic()
        looks = self._stream.isatty() if shown is None else shown
        self._due = self._began + _PATIENCE_S if looks else float("inf")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._shown:
            self._put("")

    def __call__(self, share: float) -> None:
        """So much is done, from 0 to 1; cheap where it is not yet time to show it."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY_S
        left_s = (now - self._began) * (1 - share) / share if share else 0
        left = f", {_time(left_s)} left" if share else ""
        self._put(f"{self._what}: {share:.0%}{left}")

    def _put(self, line: str) -> None:
        line = line[:max(shutil.get_terminal_size().columns - 1, 1)]
        self._stream.write(f"\r{line:<{self._shown}}" + ("" if line else "\r"))
        self._stream.flush()
        self._shown = len(line)


def run_through(observer: Observer, source: RecordingSource, doing: str) -> None:
    """Step a recording to its end, and show how far it is."""
    with Progress(f"{doing} {Path(source.path).name}") as progress:
        for _ in observer.steps():
            progress(source.share)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
