# SPDX-License-Identifier: GPL-2.0
"""The server, asked by a real HTTP client over a real socket."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from reference.served import Served

from cmaobs import server
from cmaobs.config import Address
from cmaobs.server import Server
from cmaobs.view import View


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
    served.health.allowed_s = 600.0
    served.health.beat()
    assert served.ask("/healthz")[0] == 200
    served.health.allowed_s = 0.2
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


class Door:
    """A lock. come: is released by each who comes to it."""

    def __init__(self) -> None:
        self.come, self._lock = threading.Semaphore(0), threading.Lock()

    def __enter__(self) -> None:
        self.come.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_two_scrapes_serve_all_who_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one takes longer than clients have patience, those who wait do not add up."""
    begun, go = threading.Semaphore(0), threading.Event()
    made: list[View] = []

    def view() -> View:
        begun.release()
        assert go.wait(300)
        made.append(served.view)
        return served.view

    one, door = Server(Address("127.0.0.1", 0), lambda: served.view, served.health), Door()
    monkeypatch.setattr(server, "_RENDERED_S", 0.0)
    monkeypatch.setattr(one, "_rendering", door)
    try:
        monkeypatch.setattr(next(iter(one._registry._collector_to_names)), "_view", view)
        with ThreadPoolExecutor(12) as pool:
            first = pool.submit(one.respond, "/metrics", "")
            assert begun.acquire(timeout=300)
            served.view = dataclasses.replace(served.view, records=571)
            late = [pool.submit(one.respond, "/metrics", "") for _ in range(11)]
            for _ in range(12):
                assert door.come.acquire(timeout=300)
            go.set()
            assert b"cmaobs_records_total" in first.result()[2]
            assert {b"cmaobs_records_total 571.0" in one.result()[2] for one in late} == {True}
        assert len(made) == 2
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


