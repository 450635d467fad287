# SPDX-License-Identifier: GPL-2.0
"""What makes frames: an observer of a kernel or a recording, or an exporter that is asked.

A feed runs in a thread of its own, so that the screen answers keys whatever the source does.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

from cmaobs.errors import CmaobsError, ExporterError
from cmaobs.observe import Observer
from cmaobs.state import Reading
from cmaobs.top import remote
from cmaobs.top.frame import Frame, of_view

_SLACK_S = 0.05

Frames = Callable[["Feed"], Iterator[Frame]]


class Feed:
    """Frames of a generator, made in a thread and handed over by take().

    note: what is wrong with the source now, or empty. error: what ended it before its time.
    patience_s: how long to wait for it at the end; None is until it has ended, which probes need.
    """

    def __init__(self, frames: Frames, patience_s: float | None = None) -> None:
        self._queue: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._frames, self._patience_s = frames, patience_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.note = ""
        self.error: BaseException | None = None

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._patience_s)

    def stopped(self) -> bool:
        """Whether no more frames are wanted."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        self._stop.wait(seconds)

    @property
    def ended(self) -> bool:
        """Whether no more frames come."""
        return not self._thread.is_alive()

    def take(self, timeout_s: float = 0.0) -> Iterator[Frame]:
        """The frames that have come; waits for the first one for so long."""
        try:
            yield self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
            while True:
                yield self._queue.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        try:
            for frame in self._frames(self):
                self._queue.put(frame)
                if self.stopped():
                    break
        except CmaobsError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 — raised where the feed is used
            self.error = error


def observed(observer: Observer, every_s: float) -> Frames:
    """Frames of an observer, a reading each, but not more often than every_s of its own time."""
    def frames(feed: Feed) -> Iterator[Frame]:
        due = 0.0
        for step in observer.steps(feed.stopped):
            if isinstance(step, Reading) and step.wall_s >= due - _SLACK_S:
                due = step.wall_s + every_s
                yield of_view(observer.view)
        if observer.view.reading is not None:
            yield of_view(observer.view)
    return frames


def asked(url: str, every_s: float) -> Frames:
    """Frames of an exporter. If it does not answer at first, that ends the feed with ExporterError;
    later it may be away for a while.
    """
    def frames(feed: Feed) -> Iterator[Frame]:
        yield remote.fetch(url)
        since = time.monotonic()
        while not feed.stopped():
            feed.wait(every_s)
            try:
                frame = remote.fetch(url)
            except ExporterError as error:
                feed.note = f"for {time.monotonic() - since:.0f} s: {error.message}"
                continue
            feed.note, since = "", time.monotonic()
            yield frame
    return frames
