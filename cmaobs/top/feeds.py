# SPDX-License-Identifier: GPL-2.0
"""What makes frames: an observer of a kernel or a recording, or an exporter that is asked.

A feed runs in a thread of its own, so that the screen answers keys whatever the source does.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from cmaobs.errors import CmaobsError, ExporterError
from cmaobs.events import Kind, Path, decode
from cmaobs.observe import Observer
from cmaobs.source import Batch
from cmaobs.state import Reading
from cmaobs.top import remote
from cmaobs.top.frame import Failure, Frame, of_view

_FAILURES = 20
_KEPT_BYTES = 16 << 20  # of records since the last reading
_ERRNO = {-12: "ENOMEM", -16: "EBUSY", -4: "EINTR"}
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
        failures = _Failures()
        due = 0.0
        for step in observer.steps(feed.stopped):
            if isinstance(step, Batch):
                failures.keep(step.data)
                continue
            failures.look(step)
            if step.wall_s >= due - _SLACK_S:
                due = step.wall_s + every_s
                yield of_view(observer.view, tuple(failures.latest))
        if observer.view.reading is not None:
            yield of_view(observer.view, tuple(failures.latest))
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


class _Failures:
    """The latest failures. Records are only looked at where a reading says that some failed."""

    def __init__(self) -> None:
        self.latest: deque[Failure] = deque(maxlen=_FAILURES)
        self._data: list[bytes] = []
        self._bytes = 0
        self._failed = 0

    def keep(self, data: bytes) -> None:
        """Records that came; too many since the last reading are forgotten."""
        self._bytes += len(data)
        if self._bytes > _KEPT_BYTES:
            self._data, self._bytes = [], 0
        if data:
            self._data.append(data)

    def look(self, reading: Reading) -> None:
        """Find the failures since the reading before."""
        failed = sum(count for area in reading.counts for name, count in area.counters.items()
                     if name.startswith("allocs_e") or name == "allocs_other")
        if failed != self._failed:
            names = {area.facts.index: area.facts.name for area in reading.counts}
            for data in self._data:
                self.latest.extend(
                    Failure(reading.wall_s - (reading.time_ns - one.end_ns) / 1e9,
                            names.get(one.area, "?"), one.count,
                            _ERRNO.get(one.ret, str(one.ret)),
                            one.comm.rstrip(b"\0").decode("utf-8", "replace"), one.tgid,
                            (one.end_ns - one.start_ns) / 1e9)
                    for one in decode(data)
                    if one.kind == Kind.ALLOC and one.path == Path.FAILED)
        self._failed, self._data, self._bytes = failed, [], 0
