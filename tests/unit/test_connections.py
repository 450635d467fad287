# SPDX-License-Identifier: GPL-2.0
"""Who may connect, for how long and how many, and where the server listens."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from golden import samples
from reference.served import Served

from cmaobs.config import Address
from cmaobs.errors import ListenError
from cmaobs.server import Health, Server
from cmaobs.web import connections

_PATIENCE_S = 300


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is cut off for being slow, which a test may be."""
    monkeypatch.setattr(connections, "IDLE_S", 2.0 * _PATIENCE_S)
    monkeypatch.setattr(connections.Handler, "timeout", 2.0 * _PATIENCE_S)
    monkeypatch.setattr(connections, "CONNECTION_S", 2.0 * _PATIENCE_S)


def _connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=_PATIENCE_S)


@pytest.mark.parametrize(("request_", "status"), [
    (b"GET " + b"/" * 17000, 431), (b"nonsense\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    (b"GET / HTTP/1.0\r\n" + b"a: " + b"b" * 20000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/9.0\r\n\r\n", 505), (b"GET / HTTP/1.0\r\n: \r\n\r\n", 200),
], ids=["long line", "nonsense", "tls", "many headers", "long header", "version", "no name"])
def test_requests_that_are_none_get_4xx_and_the_server_lives(
        served: Served, request_: bytes, status: int) -> None:
    with _connect(served) as connection:
        connection.sendall(request_)
        try:
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        except OSError:
            answer = b""  # reset: it did not read all that was sent
    assert answer.startswith(f"HTTP/1.0 {status} ".encode()) or (not answer and status == 431)
    assert b"<" not in answer.partition(b"\r\n\r\n")[2] or status == 200
    assert served.ask("/healthz")[0] == 200


def test_silent_clients_make_room_for_who_asks(served: Served, endless: None) -> None:
    silent = [_connect(served) for _ in range(3 * connections.MAX_CONNECTIONS)]
    try:
        for _ in range(5):
            assert served.ask("/metrics")[0] == 200
        assert silent[0].recv(1) == b"", "the oldest was not cut off"
        silent[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(100).startswith(b"HTTP/1.0 200 "), "the latest was cut off"
    finally:
        for one in silent:
            one.close()


def test_clients_that_do_not_take_their_answer_make_room_as_well(
        served: Served, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    body = bytes(8 << 20)  # more than the kernel buffers for a connection

    def large(path: str, _: str) -> tuple[int, str, bytes]:
        asked.append(path)
        return 200, "text/plain", body

    monkeypatch.setattr(served.server._http, "respond", large)
    stuck = [_connect(served) for _ in range(connections.MAX_CONNECTIONS)]
    try:
        for one in stuck:
            one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        deadline = time.monotonic() + _PATIENCE_S
        while (len(asked) < len(stuck)
               or any(how.busy for how in tuple(served.server._http._open.values()))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(served.server._http._open) == connections.MAX_CONNECTIONS
        monkeypatch.setattr(served.server._http, "respond", served.server.respond)
        assert served.ask("/metrics")[0] == 200
    finally:
        for one in stuck:
            one.close()


def test_where_all_are_being_served_the_next_is_told_to_come_again(
        served: Served, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def slow(*_: str) -> tuple[int, str, bytes]:
        go.wait(_PATIENCE_S)
        return 200, "text/plain", b"done"

    monkeypatch.setattr(served.server._http, "respond", slow)
    waiting = [_connect(served) for _ in range(connections.MAX_CONNECTIONS)]
    try:
        for one in waiting:
            one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        deadline = time.monotonic() + _PATIENCE_S
        while sum(how.busy for how in tuple(served.server._http._open.values())) < len(waiting):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with _connect(served) as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.0 503 ")
        go.set()
        for one in waiting:
            assert one.recv(100).startswith(b"HTTP/1.0 200 ")
    finally:
        go.set()
        for one in waiting:
            one.close()


def test_a_client_that_drips_is_cut_off(
        served: Served, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.5)
    with _connect(served) as drip:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|pipe"):
            while time.monotonic() < began + _PATIENCE_S:
                drip.sendall(b"G")
                time.sleep(0.05)


def test_a_client_that_takes_its_answer_in_drips_is_cut_off(
        served: Served, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.5)
    whole = 8 << 20
    monkeypatch.setattr(served.server._http, "respond",
                        lambda *_: (200, "text/plain", bytes(whole)))
    taken = 0
    with _connect(served) as drip:
        drip.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        taken += len(drip.recv(1 << 10))
        deadline = time.monotonic() + _PATIENCE_S
        while served.server._http._open:
            assert time.monotonic() < deadline
            taken += len(drip.recv(1 << 10))
            time.sleep(0.05)
        while more := len(drip.recv(1 << 20)):  # what the kernel had buffered
            taken += more
    assert taken < whole


def test_the_time_that_an_answer_takes_to_make_is_not_the_clients(
        served: Served, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: str) -> tuple[int, str, bytes]:
        with monkeypatch.context() as while_it_is_made:
            while_it_is_made.setattr(connections, "CONNECTION_S", 0.2)
            time.sleep(1.5)
        return 200, "text/plain", b"done"

    monkeypatch.setattr(served.server._http, "respond", slow)
    assert served.ask("/metrics")[0] == 200


def test_a_port_in_use_is_one_line_and_a_remedy(served: Served) -> None:
    with pytest.raises(ListenError) as caught:
        Server(Address("127.0.0.1", served.port), samples.view, Health(1))
    assert caught.value.message == f"cannot listen on 127.0.0.1:{served.port}: " \
                                   "Address already in use"
    assert "--listen" in caught.value.remedy


def test_a_host_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 203\.0\.113\.1:9759: "):
        Server(Address("203.0.113.1", 9759), samples.view, Health(1))


def test_ipv6_works() -> None:
    with Server(Address("::1", 0), samples.view, Health(1)) as one:
        connection = http.client.HTTPConnection("::1", one.address.port, timeout=_PATIENCE_S)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        assert str(one.address) == f"[::1]:{one.address.port}"


def test_a_socket_that_is_handed_over_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = os.dup(listening.fileno())
        with Server(Address("", 0, fd), samples.view, Health(1)) as one:
            assert one.address.port == listening.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", one.address.port,
                                                    timeout=_PATIENCE_S)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()


def test_what_is_no_listening_socket_is_one_line_and_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as idle, (tmp_path / "file").open("w") as file:
        for fd in (idle.fileno(), file.fileno(), 9999):
            with pytest.raises(ListenError, match=rf"cannot listen on fd:{fd}: ") as caught:
                Server(Address("", 0, fd), samples.view, Health(1))
            assert "socket unit" in caught.value.remedy
        assert idle.fileno() >= 0
