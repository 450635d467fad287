# SPDX-License-Identifier: GPL-2.0
"""The server, with a client of its own."""

from __future__ import annotations

import http.client

from golden import samples

from cmaobs.config import Address
from cmaobs.server import Health, Server


class Served:
    """A server with a view that a test may change."""

    def __init__(self) -> None:
        self.view = samples.view()
        self.health = Health(0.2)
        self.server = Server(Address("127.0.0.1", 0), lambda: self.view, self.health)
        self.port = self.server.address.port

    def ask(self, path: str, method: str = "GET",
            headers: dict[str, str] | None = None) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()
