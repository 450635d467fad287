# SPDX-License-Identifier: GPL-2.0
"""The web configuration in force: read again when it changes; a wrong one is not taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmaobs.errors import ConfigError
from cmaobs.web.access import Access, WebConfig

if TYPE_CHECKING:
    import ssl

_EVERY_S = 1.0  # between two looks at the files

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Loaded(NamedTuple):
    """successful: whether the files as they are now are in force. at_s: since 1970, of the last
    time that they were read and taken."""

    successful: bool
    at_s: float


class Gate:
    """path None: open to all, over plain HTTP. say: takes a line for the log."""

    def __init__(self, path: str | None, say: Callable[[str], None]) -> None:
        """Raises ConfigError where the file is wrong from the beginning."""
        self._path, self._say = path, say
        self._lock = threading.Lock()
        self._due = 0.0
        self.loaded = Loaded(False, 0)
        self._complaint = ""
        self._take(_read(path) if path else WebConfig())
        self._seen = self._stamp()

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For a connection that begins now."""
        return self._config.tls

    @property
    def access(self) -> Access:
        """For a request that has come now."""
        return self._access

    def look(self) -> None:
        """Read the files again if they have changed; at most once a second."""
        with self._lock:
            if self._path is None or time.monotonic() < self._due:
                return
            self._due = time.monotonic() + _EVERY_S
            stamp = self._stamp()
            if stamp == self._seen and self.loaded.successful:
                return
            try:
                self._replace(_read(self._path))
                # As it was before it was read: what changed meanwhile is seen at the next look.
                self._seen = stamp[:1] + self._stamp()[1:]
            except ConfigError as error:
                self.loaded = self.loaded._replace(successful=False)
                if error.message != self._complaint:
                    self._say(f"web configuration kept as it was: {error.message}; "
                              f"{error.remedy}")
                self._complaint = error.message

    def _replace(self, new: WebConfig) -> None:
        # A file that is just being written may be empty, and must not open the door.
        if (self._config.tls and not new.tls) or (self._config.closed and not new.closed):
            raise ConfigError(f"{self._path}: it would take "
                              f"{'TLS' if not new.tls and self._config.tls else 'all users'} away",
                              "restart cmaobs if you mean that")
        self._take(new)
        self._complaint = ""
        self._say(f"web configuration read again: {self._path}")

    def _take(self, config: WebConfig) -> None:
        self._config = config
        self._access = Access(config.users, config.tokens)
        self.loaded = Loaded(True, time.time())

    def _stamp(self) -> _Stamp:
        files = self._config.files or ((Path(self._path),) if self._path else ())
        return tuple(_stamp(path) for path in files)


def _read(path: str) -> WebConfig:
    from cmaobs.web.config import read  # YAML and TLS take long to load

    return read(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
