# SPDX-License-Identifier: GPL-2.0
"""Thousands of clients that do nothing, or send nothing of sense, while Prometheus scrapes.

All on this machine's loopback; the server is a process of its own, as `serve` is.
"""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden.cli import environment

from cmaobs.web.connections import MAX_CONNECTIONS

SLOW = 10_000
GARBAGE = 3_000
SCRAPE_S = 10.0  # Prometheus's own limit
_SERVER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))  # as most systems have it
from golden import samples
from cmaobs.config import Address
from cmaobs.server import Health, Server
with Server(Address("127.0.0.1", 0), samples.view, Health(3600)) as server:
    print(server.address.port, flush=True)
    sys.stdin.read()
"""


class Exporter:
    """A server that knows one view for good."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process, self.port = process, int(process.stdout.readline())

    def scrape(self) -> float:
        """Seconds that a whole answer took."""
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics",
                                    timeout=SCRAPE_S) as answer:
            assert b"\ncma_alloc_total{" in answer.read()
        return time.monotonic() - began

    def status(self, key: str) -> int:
        """A number of /proc/PID/status."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key + ":")).split()[1])


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, SLOW + 500), hard))
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, env=environment()) as process:
        yield Exporter(process)
        process.kill()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_slow_clients_keep_no_scrape_out(exporter: Exporter) -> None:
    """They connect as fast as one process can, and stay; a third begins a request."""
    exporter.scrape()
    before = exporter.status("VmRSS")
    clients: list[socket.socket] = []
    done = threading.Event()

    def connect() -> None:
        for number in range(SLOW):
            one = socket.socket()
            clients.append(one)
            one.settimeout(SCRAPE_S)
            with contextlib.suppress(OSError):
                one.connect(("127.0.0.1", exporter.port))
                if number % 3 == 0:
                    one.sendall(b"GET /met")
        done.set()

    thread = threading.Thread(target=connect)
    thread.start()
    took = []
    try:
        while not done.is_set() or len(took) < 10:
            took.append(exporter.scrape())
            time.sleep(0.2)
    finally:
        thread.join()
        for one in clients:
            one.close()
    assert len(clients) == SLOW
    assert len(took) >= 10
    assert exporter.status("Threads") <= MAX_CONNECTIONS + 4
    assert exporter.status("VmRSS") - before < 40 << 10, "KiB"
    print(f"{SLOW} clients, {len(took)} scrapes, the longest {max(took):.2f} s")


def test_garbage_to_the_port_leaves_nothing_behind(exporter: Exporter) -> None:
    """Random bytes, half requests and TLS hellos, a few hundred bytes each."""
    rng = random.Random(1)
    exporter.scrape()
    for _ in range(GARBAGE):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.settimeout(SCRAPE_S)
            one.connect(("127.0.0.1", exporter.port))
            one.sendall(rng.choice((b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\xa5"))
                        + rng.randbytes(rng.randrange(300)))
            if rng.random() < 0.5:
                one.shutdown(socket.SHUT_WR)
                one.recv(1000)
    assert exporter.scrape() < SCRAPE_S
    deadline = time.monotonic() + 30
    while exporter.status("Threads") > 4:
        assert time.monotonic() < deadline, "threads of connections are left"
        time.sleep(0.2)
