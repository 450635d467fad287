# SPDX-License-Identifier: GPL-2.0
"""What is served: /metrics, /healthz, /readyz and the page at /.

Draws from a View that a function returns; no request changes anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cmaobs.config import Address
from cmaobs.errors import ListenError
from cmaobs.metrics import ViewCollector, families
from cmaobs.page import HEADERS, Page
from cmaobs.view import View
from cmaobs.web import Gate
from cmaobs.web.connections import Connections
from cmaobs.web.handler import TEXT, Response

_RENDERED_S = 0.1  # whoever asks again within that gets the same


class _Made(NamedTuple):
    """An answer to a scrape; from when and until when it was made, time.monotonic()."""

    view: View
    content_type: str
    begun: float
    ended: float
    answer: Response


class Health:
    """When the observer last did something; times from time.monotonic().

    Before its first beat it is starting, which takes as long as it takes.
    """

    def __init__(self, allowed_s: float) -> None:
        self.allowed_s = allowed_s
        self._at: float | None = None

    def beat(self) -> None:
        """The observer is alive."""
        self._at = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return 0 if self._at is None else time.monotonic() - self._at


class Server:
    """Serves in threads of its own while it is entered; listens from its making on.

    gate: who may ask; None is everybody. Raises ListenError where the address cannot be listened
    on.
    """

    def __init__(self, address: Address, view: Callable[[], View], health: Health,
                 registry: CollectorRegistry | None = None, gate: Gate | None = None) -> None:
        self._view = view
        self._page = Page(view, lambda: self._healthz()[2].decode().rstrip("\n"))
        self._health = health
        self._registry = registry or CollectorRegistry(auto_describe=False)
        self._registry.register(ViewCollector(view))
        if gate is not None:
            self._registry.register(_GateCollector(gate))
        self._rendering = threading.Lock()
        self._made: _Made | None = None
        try:
            self._http = Connections(address, self.respond, gate or Gate(None, print), HEADERS)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ListenError(
                f"cannot listen on {address}: {reason}",
                "stop what listens there, or choose another address with --listen HOST:PORT"
                if address.fd is None else "start cmaobs from a socket unit of systemd"
            ) from error
        host, port = self._http.server_address[:2]
        self.address = Address(str(host), int(port))
        self._thread = threading.Thread(target=self._http.serve_forever, name="http",
                                        kwargs={"poll_interval": 0.2}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._http.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Stop listening, where it was never entered."""
        self._http.server_close()

    def respond(self, path: str, accept: str) -> Response:
        """Status, content type and body for a path without its query."""
        if path == "/metrics":
            return self._metrics(accept)
        if path == "/healthz":
            return self._healthz()
        if path == "/readyz":
            ready = self._view().reading is not None
            return (200, TEXT, b"ready\n") if ready else (
                503, TEXT, b"not ready: no reading yet\n")
        found = self._page.answer(path)
        return (200, *found) if found else (404, TEXT, b"not found; see /\n")

    def _metrics(self, accept: str) -> Response:
        """One is made at a time, and serves all who asked before it was begun.

        So two are made at most for those who wait, however many have given up meanwhile.
        """
        encode, content_type = choose_encoder(accept)
        asked = time.monotonic()
        with self._rendering:
            made, view = self._made, self._view()
            if made and made.content_type == content_type and (
                    made.begun >= asked
                    or (made.view is view and asked - made.ended <= _RENDERED_S)):
                return made.answer
            begun = time.monotonic()
            answer = 200, content_type, encode(self._registry)
            self._made = _Made(view, content_type, begun, time.monotonic(), answer)
            return answer

    def _healthz(self) -> Response:
        failure = self._view().failure
        if failure:
            return 503, TEXT, f"failed: {failure}\n".encode()
        silent = self._health.silent_s()
        if silent > self._health.allowed_s:
            return 503, TEXT, (f"silent for {silent:.0f} s, "
                                f"more than {self._health.allowed_s:.0f} s\n").encode()
        return 200, TEXT, b"ok\n"


class _GateCollector(Collector):
    """What became of the web configuration."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def collect(self) -> Iterator[Metric]:
        """The metrics of the table that are there with a web configuration."""
        loaded = self._gate.loaded
        yield from families((
            ("cmaobs_web_config_last_reload_successful", (), loaded.successful),
            ("cmaobs_web_config_last_reload_success_timestamp_seconds", (), loaded.at_s)))
