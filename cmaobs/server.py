# SPDX-License-Identifier: GPL-2.0
"""The HTTP server: /metrics, /healthz, /readyz and the page at /. GET and HEAD only.

Draws from a View that a function returns; holds no state of its own. Bounded in
connections, in the time that one may take, and in what it reads of a request.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

import cmaobs
from cmaobs.config import Address
from cmaobs.errors import ListenError
from cmaobs.metrics import ViewCollector
from cmaobs.page import HEADERS, Page
from cmaobs.view import View

MAX_CONNECTIONS = 16
CONNECTION_S = 10.0  # from accept to the last byte
_IDLE_S = 5.0
_BUSY = (b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
         b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n")
_TEXT = "text/plain; charset=utf-8"

Response = tuple[int, str, bytes]


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
    """Serves in threads of its own from start() on until close().

    Raises ListenError where the address cannot be listened on.
    """

    def __init__(self, address: Address, view: Callable[[], View], health: Health,
                 registry: CollectorRegistry | None = None) -> None:
        self._view = view
        self._page = Page(view, lambda: self._healthz()[2].decode().rstrip("\n"))
        self._health = health
        self._registry = registry or CollectorRegistry(auto_describe=False)
        self._registry.register(ViewCollector(view))
        try:
            self._http = _Http(address, self.respond)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ListenError(
                f"cannot listen on {address}: {reason}",
                "stop what listens there, or choose another address with --listen HOST:PORT",
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
        self._http.server_close()

    def respond(self, path: str, accept: str) -> Response:
        """Status, content type and body for a path without its query."""
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return 200, content_type, encode(self._registry)
        if path == "/healthz":
            return self._healthz()
        if path == "/readyz":
            ready = self._view().reading is not None
            return (200, _TEXT, b"ready\n") if ready else (
                503, _TEXT, b"not ready: no reading yet\n")
        found = self._page.answer(path)
        return (200, *found) if found else (404, _TEXT, b"not found; see /\n")

    def _healthz(self) -> Response:
        failure = self._view().failure
        if failure:
            return 503, _TEXT, f"failed: {failure}\n".encode()
        silent = self._health.silent_s()
        if silent > self._health.allowed_s:
            return 503, _TEXT, (f"silent for {silent:.0f} s, "
                                f"more than {self._health.allowed_s:.0f} s\n").encode()
        return 200, _TEXT, b"ok\n"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: Address, respond: Callable[[str, str], Response]) -> None:
        self.respond = respond
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind, without HTTPServer's look-up of the host's name in the DNS."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread, unless too many are open."""
        with self._lock:
            admitted = len(self._open) < MAX_CONNECTIONS
            if admitted:
                self._open[request] = time.monotonic()
        if admitted:
            super().process_request(request, client_address)
            return
        request.settimeout(0.1)
        with contextlib.suppress(OSError):  # the client is gone already
            request.sendall(_BUSY)
        super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and make room for another."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off connections that take too long, however busily they drip."""
        oldest = time.monotonic() - CONNECTION_S
        with self._lock:
            late = [one for one, since in self._open.items() if since < oldest]
        for request in late:
            with contextlib.suppress(OSError):  # closed meanwhile
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown by the default."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = _IDLE_S
    server_version = f"cmaobs/{cmaobs.__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(*self.server.respond(self.path.partition("?")[0],
                                          ", ".join(self.headers.get_all("Accept", []))))

    do_HEAD = do_GET

    def __getattr__(self, name: str) -> Any:
        # The base class looks up do_METHOD and would answer 501 to the rest.
        if name.startswith("do_"):
            return self._not_allowed
        raise AttributeError(name)

    def _not_allowed(self) -> None:
        self._answer(405, _TEXT, b"only GET and HEAD\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == 405:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""
