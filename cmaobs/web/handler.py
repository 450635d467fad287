# SPDX-License-Identifier: GPL-2.0
"""One request: read within limits, checked against who may ask, answered, and closed."""

from __future__ import annotations

import io
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any

import cmaobs

IDLE_S = 5.0  # between two bytes of a client
MAX_REQUEST = 16 << 10  # bytes: the request line and all headers
TEXT = "text/plain; charset=utf-8"

Response = tuple[int, str, bytes]
"""Status, content type and body."""


class _TooLarge(Exception):
    """More was sent than a request may have."""


class _Limited(io.BufferedIOBase):
    """Lines of a stream, as far as a request may go."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream, self._left = stream, MAX_REQUEST

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line; raises _TooLarge."""
        most = self._left + 1  # one too many shows that there is more
        line = self._stream.readline(most if size is None or size < 0 else min(size, most))
        self._left -= len(line)
        if self._left < 0:
            raise _TooLarge
        return line

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        super().close()


class Handler(BaseHTTPRequestHandler):
    """connection: what is spoken over; accepted: the socket that the server knows it by."""

    server: Any  # a Connections
    timeout = IDLE_S
    server_version = f"cmaobs/{cmaobs.__version__}"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # so that an error has headers, too

    def __init__(self, connection: socket.socket, client: Any, server: Any,
                 accepted: socket.socket | None = None) -> None:
        self._accepted = accepted or connection
        super().__init__(connection, client, server)

    def setup(self) -> None:
        """Streams over the connection."""
        super().setup()
        self.rfile: Any = _Limited(self.rfile)

    def handle_one_request(self) -> None:
        """As the base class does."""
        try:
            super().handle_one_request()
        except _TooLarge:
            self.requestline, self.request_version, self.command = "", "HTTP/1.0", ""
            self.close_connection = True
            self.send_error(431)

    def parse_request(self) -> bool:
        """As the base class does, then who asks is looked at."""
        if not super().parse_request():
            return False
        self.server.busy(self._accepted, True)
        access = self.server.gate.access
        if access.opens(self.headers.get("Authorization")):
            return True
        self._answer(401, TEXT, b"not without a name or token\n",
                     [("WWW-Authenticate", scheme) for scheme in access.schemes])
        return False

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
        self._answer(405, TEXT, b"only GET and HEAD\n", [("Allow", "GET, HEAD")])

    def send_error(self, code: int, *_: str | None, **__: str | None) -> None:
        """An answer as the others are: plain text, which repeats nothing of the request."""
        self._answer(code, TEXT, f"{self.responses[code][0]}\n".encode())

    def _answer(self, status: int, content_type: str, body: bytes,
                further: list[tuple[str, str]] | None = None) -> None:
        self.server.busy(self._accepted, False)
        self.send_response(status)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))),
                            *self.server.headers.items(), *(further or ())):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""
