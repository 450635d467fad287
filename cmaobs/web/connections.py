# SPDX-License-Identifier: GPL-2.0
"""Connections: bounded in number and in time, each in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any, NamedTuple

from cmaobs.config import Address
from cmaobs.web.gate import Gate
from cmaobs.web.handler import IDLE_S, Handler, Response

MAX_CONNECTIONS = 64
CONNECTION_S = 10.0  # a client has for its request, and as long to take the answer
_BUSY = (b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
         b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n")


class _Open(NamedTuple):
    """since: time.monotonic(), when the client's turn began. busy: it is the server's turn."""

    since: float
    busy: bool


class Connections(ThreadingHTTPServer):
    """headers: of every answer. respond: to a path and an Accept header."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address, respond: Callable[[str, str], Response],
                 gate: Gate, headers: Mapping[str, str]) -> None:
        self.respond, self.gate, self.headers = respond, gate, headers
        self._open: dict[socket.socket, _Open] = {}  # the oldest first
        self._lock = threading.Lock()
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        if address.fd is None:
            super().__init__((address.host, address.port), Handler)
        else:  # without TCPServer, which makes a socket first: who is handed one may not be allowed
            BaseServer.__init__(self, ("", 0), Handler)
            self.socket = _handed(address.fd)
            self._name()

    def server_bind(self) -> None:
        """Bind, without HTTPServer's look-up of the host's name in the DNS."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self._name()

    def _name(self) -> None:
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread; where too many are open, another one must go.

        It is the oldest whose client keeps us waiting, with its request or with taking the answer:
        whoever asks at once is served, however many connect and do nothing.
        """
        with self._lock:
            admitted = len(self._open) < MAX_CONNECTIONS
            slow = None if admitted else next(
                (one for one, how in self._open.items() if not how.busy), None)
            if slow is not None:
                del self._open[slow]
                _cut(slow)  # its thread wakes up and ends
                admitted = True
            if admitted:
                self._open[request] = _Open(time.monotonic(), False)
        if admitted:
            super().process_request(request, client_address)
            return
        request.settimeout(0.1)
        with contextlib.suppress(OSError):  # the client is gone already
            request.sendall(_BUSY)
        super().shutdown_request(request)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's thread: a slow handshake keeps nobody else waiting."""
        request.settimeout(IDLE_S)
        self.gate.look()
        tls = self.gate.tls
        if tls is None:
            super().finish_request(request, client_address)
            return
        with tls.wrap_socket(request.dup(), server_side=True) as secure:
            Handler(secure, client_address, self, request)
            with contextlib.suppress(OSError):  # it need not say goodbye
                secure.unwrap()

    def busy(self, request: socket.socket, busy: bool) -> None:
        """The request of a connection has been read, or the answer is being sent."""
        with self._lock:
            if request in self._open:
                self._open[request] = _Open(time.monotonic(), busy)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and make room for another."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off clients that take too long, however busily they drip."""
        oldest = time.monotonic() - CONNECTION_S
        with self._lock:
            for request, how in self._open.items():
                if how.since < oldest and not how.busy:
                    _cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown by the default."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handed(fd: int) -> socket.socket:
    """The listening socket that whoever started us has opened; raises OSError."""
    found = socket.socket(fileno=fd)
    if (found.family not in (socket.AF_INET, socket.AF_INET6)
            or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        found.detach()
        raise OSError(0, "not a TCP socket that listens")
    return found


def _cut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        request.shutdown(socket.SHUT_RDWR)
