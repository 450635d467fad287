# SPDX-License-Identifier: GPL-2.0
"""Threads that turn a knob of the area now and then: shrinker scans, changes of batch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cmaobs.load.area import refused
from cmaobs.load.targets import name_of


class Knob:
    """Writes the next text to a file, every so many seconds until told to stop."""

    def __init__(self, path: Path, texts: Iterator[str], interval: float,
                 stop: threading.Event) -> None:
        self.done = 0
        self.values = 0
        self.failed: Counter[str] = Counter()
        self.fault: BaseException | None = None
        self._path = path
        self._texts = texts
        self._interval = interval
        self._stop = stop
        try:
            with path.open("a"):
                pass  # may we write to it? Say so before the load begins
        except OSError as err:
            raise refused(path, err) from err

    def run(self) -> None:
        try:
            self._run()
        except BaseException as err:  # noqa: BLE001 - the main thread raises it again
            self.fault = err

    def _run(self) -> None:
        for text in self._texts:
            if self._stop.wait(self._interval):
                return
            try:
                self._path.write_text(text)
            except OSError as err:
                self.failed[name_of(err)] += 1
            else:
                self.done += 1
                self.values += int(text.split()[-1])
