# SPDX-License-Identifier: GPL-2.0
"""The server, asked by a real HTTP client over a real socket."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import samples

from cmaobs import server
from cmaobs.config import Address
from cmaobs.errors import ListenError
from cmaobs.server import Health, Server
from cmaobs.view import View
from cmaobs.web import connections


class Served:
    """A server with a view that a test may change."""

    def __init__(self) -> None:
        self.view = samples.view()
        self.health = Health(0.2)
        self.server = Server(Address("127.0.0.1", 0), lambda: self.view, self.health)
        self.port = self.server.address.port

    def ask(self, path: str, method: str = "GET",
            headers: dict[str, str] | None = None) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    with one.server:
        yield one


def test_metrics_in_the_text_format(served: Served) -> None:
    status, headers, body = served.ask("/metrics?debug=1")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert int(headers["Content-Length"]) == len(body.encode())
    assert 'cma_alloc_total{area="reserved",path="defer_hit"} 200.0' in body
    assert "# EOF" not in body


def test_metrics_in_openmetrics_for_who_asks(served: Served) -> None:
    status, headers, body = served.ask("/metrics", headers={
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=")
    assert body.endswith("# EOF\n")


def test_each_scrape_shows_the_view_of_its_time(served: Served) -> None:
    assert "cmaobs_records_total 570.0" in served.ask("/metrics")[2]
    served.view = dataclasses.replace(served.view, records=571)
    assert "cmaobs_records_total 571.0" in served.ask("/metrics")[2]


def test_ready_only_after_a_reading(served: Served) -> None:
    assert served.ask("/readyz")[0] == 200
    served.view = View({}, ())
    assert served.ask("/readyz")[0] == 503


def test_healthy_while_starting_or_beating_and_not_when_silent_or_failed(served: Served) -> None:
    assert served.ask("/healthz")[::2] == (200, "ok\n")
    served.health.beat()
    assert served.ask("/healthz")[0] == 200
    time.sleep(0.3)
    status, _, body = served.ask("/healthz")
    assert status == 503
    assert "silent" in body
    served.health.beat()
    served.view = dataclasses.replace(served.view, failure="the ring is gone")
    assert served.ask("/healthz")[::2] == (503, "failed: the ring is gone\n")


def test_the_page_and_what_it_asks_for(served: Served) -> None:
    for path, kind, part in (("/", "text/html; charset=utf-8", "<title>cmaobs</title>"),
                             ("/app.js?1", "text/javascript; charset=utf-8", "view.json"),
                             ("/style.css", "text/css; charset=utf-8", ":root"),
                             ("/icon.svg", "image/svg+xml", "<svg"),
                             ("/view.json", "application/json", '"outcome":"diverge"'),
                             ("/divergence/0.json", "application/json", '"rule":"R12"'),
                             ("/divergence/0.txt", "text/plain; charset=utf-8", "R12 was broken"),
                             ("/summary.txt", "text/plain; charset=utf-8", "verdict: diverge")):
        status, headers, body = served.ask(path)
        assert (status, headers["Content-Type"]) == (200, kind), path
        assert part in body, path


def test_nothing_is_kept_or_run_that_is_not_ours(served: Served) -> None:
    for path in ("/", "/view.json", "/metrics", "/nothing"):
        headers = served.ask(path)[1]
        policy = dict(one.strip().split(" ", 1)
                      for one in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_the_page_says_what_healthz_says(served: Served) -> None:
    assert json.loads(served.ask("/view.json")[2])["health"] == "ok"
    served.view = dataclasses.replace(served.view, failure="the ring is gone")
    assert json.loads(served.ask("/view.json")[2])["health"] == "failed: the ring is gone"


def test_head_has_headers_and_no_body(served: Served) -> None:
    status, headers, body = served.ask("/metrics", "HEAD")
    assert status == 200
    assert int(headers["Content-Length"]) > 1000
    assert body == ""


@pytest.mark.parametrize("path", [
    "/nothing", "/metrics/", "/../etc/passwd", "*", "/index.html", "/static/app.js",
    "/../pages.py", "/divergence/1.json", "/divergence/-1.json", "/divergence/0.html",
    "/divergence/9999999999999999.json"])
def test_other_paths_are_not_found(served: Served, path: str) -> None:
    assert served.ask(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(served: Served, method: str) -> None:
    status, headers, _ = served.ask("/metrics", method)
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def _connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=10)


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


def test_silent_clients_make_room_for_who_asks(served: Served) -> None:
    silent = [_connect(served) for _ in range(3 * connections.MAX_CONNECTIONS)]
    try:
        for _ in range(5):
            assert served.ask("/metrics")[0] == 200
        silent[0].settimeout(10)
        assert silent[0].recv(1) == b"", "the oldest was not cut off"
        silent[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(100).startswith(b"HTTP/1.0 200 "), "the latest was cut off"
    finally:
        for one in silent:
            one.close()


def test_clients_that_do_not_take_their_answer_make_room_as_well(
        served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
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
        deadline = time.monotonic() + 10
        while (len(asked) < len(stuck)
               or any(how.busy for how in tuple(served.server._http._open.values()))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(served.server._http._open) == connections.MAX_CONNECTIONS
        monkeypatch.undo()
        assert served.ask("/metrics")[0] == 200
    finally:
        for one in stuck:
            one.close()


def test_where_all_are_being_served_the_next_is_told_to_come_again(
        served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def slow(*_: str) -> tuple[int, str, bytes]:
        go.wait(20)
        return 200, "text/plain", b"done"

    monkeypatch.setattr(served.server._http, "respond", slow)
    waiting = [_connect(served) for _ in range(connections.MAX_CONNECTIONS)]
    try:
        for one in waiting:
            one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        deadline = time.monotonic() + 10
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


def test_a_scrape_asked_for_again_at_once_is_not_made_again(
        served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[View] = []

    def view() -> View:
        made.append(served.view)
        return served.view

    one = Server(Address("127.0.0.1", 0), lambda: served.view, served.health)
    monkeypatch.setattr(server, "_RENDERED_S", 60.0)
    try:
        monkeypatch.setattr(next(iter(one._registry._collector_to_names)), "_view", view)
        first = one.respond("/metrics", "")
        assert [one.respond("/metrics", "") for _ in range(10)] == [first] * 10
        assert len(made) == 1
        served.view = dataclasses.replace(served.view, records=571)
        assert b"cmaobs_records_total 571.0" in one.respond("/metrics", "")[2]
    finally:
        one.close()


def test_no_path_changes_anything(served: Served) -> None:
    before = served.view
    paths = [*served.server._page._files, "/view.json", "/summary.txt", "/metrics", "/healthz",
             "/readyz", "/divergence/0.json", "/divergence/0.txt"]
    assert len(paths) > 15
    shown = [served.server.respond(path, "") for path in paths if path != "/metrics"]
    for path in paths:
        for query in ("", "?reset=1", "?batch=0"):
            assert served.ask(path + query)[0] == 200
    assert served.view is before
    assert [served.server.respond(path, "") for path in paths if path != "/metrics"] == shown


def test_a_client_that_drips_is_cut_off(
        served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.5)
    with _connect(served) as drip:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|pipe"):
            while time.monotonic() < began + 5:
                drip.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < 3


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
        connection = http.client.HTTPConnection("::1", one.address.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        assert str(one.address) == f"[::1]:{one.address.port}"


def test_a_socket_that_is_handed_over_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = os.dup(listening.fileno())
        with Server(Address("", 0, fd), samples.view, Health(1)) as one:
            assert one.address.port == listening.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", one.address.port, timeout=10)
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
