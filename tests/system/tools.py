# SPDX-License-Identifier: GPL-2.0
"""What the system tests ask: a Prometheus that runs here, and processes that are to live."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 420


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(what: Callable[[], Any], alive: subprocess.Popen[str], log: Path) -> Any:
    """The first true value of what(), while the process lives."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if value := what():
                return value
        except OSError:
            pass
        assert alive.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


class Prometheus:
    """Asks a Prometheus that runs here."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer; raises OSError while it does not answer."""
        url = self._url + path + "?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[Any]:
        """Every series that the expression gives now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def numbers(self, expression: str) -> list[float]:
        """The values that are numbers."""
        values = [float(one["value"][1]) for one in self.query(expression)]
        return [value for value in values if math.isfinite(value)]

    def until_all_have_data(self, expressions: set[str], log: Path) -> None:
        """Each expression has given a number by the deadline."""
        assert expressions
        deadline = time.monotonic() + 120
        while expressions := {one for one in expressions if not self.numbers(one)}:
            assert time.monotonic() < deadline, \
                "\n".join(["no data:", *sorted(expressions), log.read_text()])
            time.sleep(1)
