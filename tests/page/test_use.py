# SPDX-License-Identifier: GPL-2.0
"""The page as people use it: with a mouse, in good moments and in bad ones."""

from __future__ import annotations

import dataclasses
import re
import socket
import time
from pathlib import Path

import pytest
from golden import recordings, samples, screens
from reference.browser import Browser
from reference.shown import shown

from cmaobs.state import AreaFacts
from cmaobs.view import View
from cmaobs.why import Busy, Failure
from page.served import Site, pause, show

_ACTIVE = "return document.activeElement.id"


def test_it_asks_nobody_but_its_server(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(4))
    asked = {url for url in browser.requests() if not url.startswith(("chrome:", "data:"))}
    assert {site.url, f"{site.url}view.json", f"{site.url}app.js", f"{site.url}style.css"} <= asked
    assert {url for url in asked if not url.startswith(site.url)} <= {"about:blank"}


def test_the_browser_holds_it_to_that(browser: Browser, site: Site) -> None:
    """The policy is one that a real browser understands."""
    assert browser.run("""
        try { document.body.innerHTML = "<b>"; return "done"; } catch (error) { return error.name; }
        """) == "TypeError"
    with socket.create_server(("127.0.0.1", 0)) as other:
        browser.run("""
            const [elsewhere] = arguments;
            const image = document.createElement("img");
            image.src = `${elsewhere}x.png`;
            document.body.append(image);
            fetch(elsewhere).catch(() => {});
            const style = document.createElement("p");
            style.setAttribute("style", "color: red");
            document.body.append(style);
            """, f"http://127.0.0.1:{other.getsockname()[1]}/")
        other.settimeout(1)
        with pytest.raises(TimeoutError):
            other.accept()
    browser.complained("TrustedHTML", "img-src", "connect-src", "style-src")


def test_names_from_the_kernel_stay_text(browser: Browser, site: Site) -> None:
    evil = "<img src=x onerror=document.title=1>"
    facts = AreaFacts(0, evil, 0x40000, 256, 0)
    view = dataclasses.replace(
        samples.view(), areas=(facts,), warnings=(f"warning {evil}",),
        identity={**samples.IDENTITY, "release": "<script>alert(1)</script>"},
        reading=samples.reading(5, (samples.counts(facts), samples.state(facts))),
        failures=(Failure(5.0, evil, 4, "ENOMEM", "<u>loader</u>", 7, 0.001),))
    show(browser, site, view)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.until("return document.querySelector('#numbers tbody tr')")
    assert browser.run("return document.querySelectorAll('img, main u, main script').length") == 0
    text = browser.text()
    for part in (f"Area {evil}", f"warning {evil}", "kernel <script>alert(1)</script>",
                 "<u>loader</u>[7]"):
        assert part in text


def test_before_the_first_reading_and_then_with_it(chrome: Browser, site: Site) -> None:
    site.view = View({}, ())
    chrome.resize(1200, 900)
    chrome.open(site.url)
    chrome.until("return document.getElementById('badge').textContent === 'no verdict'")
    text = chrome.text()
    assert "Waiting for the first reading" in text
    assert "failed" not in text
    assert "Area" not in text
    show(chrome, site, screens.view(2))
    assert "Waiting" not in chrome.text()
    assert "Area camera" in chrome.text()


def test_a_kernel_that_does_not_defer(browser: Browser, site: Site) -> None:
    show(browser, site, samples.plain_view())
    assert "This kernel does not defer" in browser.text()
    text = browser.run("return document.getElementById('areas').innerText")
    assert "longest clear run" in text
    for absent in ("hit ratio", "misses", "reclaimed pages", "batch"):
        assert absent not in text
    assert shown(browser).numbers["cma_deferred_pages", ("reserved",)] is None
    assert ("reserved", "hit_share") in shown(browser).figures


def test_an_areas_policy_where_it_can_be_set(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    assert "batch 128, deferred-first" in browser.text()
    assert "first-fit" not in browser.text()
    show(browser, site, screens.view(20))
    assert "batch" in browser.text()
    assert "deferred-first" not in browser.text()


def test_an_area_that_could_not_be_read(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    assert "The area could not be read: list changed while it was walked." in browser.text()
    assert not browser.run("return document.querySelector('#area-1 canvas[role=img]')"
                           ".checkVisibility()")


@pytest.mark.parametrize("how", ["mouse", "keys"])
def test_the_evidence_of_a_divergence(
        browser: Browser, site: Site, tmp_path: Path, how: str) -> None:
    show(browser, site, recordings.unlawful(tmp_path))
    assert "R12 was broken" not in browser.text()
    if how == "mouse":
        browser.click(".divergence summary")
    else:
        for _ in range(40):
            if browser.run("return document.activeElement.matches('.divergence > summary')"):
                break
            browser.press("Tab")
        browser.press("Enter")
    browser.until("return document.querySelector('.divergence .bars')")
    text = browser.text()
    for part in ("R12 was broken in area reserved at pfn 0x40000+16.",
                 "The rule: No page has two owners", "Before", "After, as recorded",
                 "cma_alloc of 16 pages: a hit", "the same as text"):
        assert part in text
    cells = browser.run("return [...document.querySelectorAll('.divergence svg')].map((svg) => "
                        "svg.querySelectorAll('.concerned').length)")
    assert cells == [16, 16]
    site.view = dataclasses.replace(site.view, records=site.view.records + 1)
    browser.until("return document.querySelector('#coverage [data-metric]').textContent === "
                  "arguments[0]", f"{site.view.records}")
    assert "R12 was broken" in browser.text()  # it stays open


def test_evidence_that_does_not_come_can_be_asked_for_again(
        browser: Browser, site: Site, tmp_path: Path) -> None:
    show(browser, site, recordings.unlawful(tmp_path))
    verdict = site.view.verdict
    pause(browser)
    site.view = dataclasses.replace(site.view, verdict=None)
    browser.click(".divergence summary")
    browser.until("return document.querySelector('.divergence button')")
    assert "The evidence did not come: 404" in browser.text()
    site.view = dataclasses.replace(site.view, verdict=verdict)
    browser.click(".divergence button")
    browser.until("return document.querySelector('.divergence .bars')")
    browser.complained("404")


def test_a_server_that_goes_and_comes_back(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(10))
    site.stop()
    browser.until("return document.getElementById('trouble').checkVisibility()")
    text = browser.run("return document.getElementById('trouble').textContent")
    assert text.startswith("The server does not answer")
    assert "All figures are of " in text
    browser.complained("ERR_CONNECTION_REFUSED")
    site.start()
    browser.until("return !document.getElementById('trouble').checkVisibility()")
    browser.complaints()


def test_an_observer_that_ended_or_is_silent(browser: Browser, site: Site) -> None:
    show(browser, site, dataclasses.replace(screens.view(10), failure="the ring is gone"))
    browser.until("return document.getElementById('trouble').textContent.startsWith("
                  "'Observing ended: the ring is gone')")
    site.health.allowed_s = 0.0
    site.health.beat()
    site.view = screens.view(12)
    browser.until("return document.getElementById('trouble').textContent.startsWith("
                  "'The observer is silent for')")


def test_a_verdict_that_is_unknown_says_why(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    assert "not all is known: area camera: never at rest" in browser.text()
    assert browser.run("return document.title") == "diverge - cmaobs"


def test_pause_keeps_what_is_shown(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(10))
    pause(browser)
    site.view = screens.view(20)
    browser.requests()
    time.sleep(2)
    assert shown(browser).time_s == screens.START_S + 10
    assert browser.requests() == set()
    assert "paused at" in browser.text()
    browser.click("#pause")
    show(browser, site, site.view)


def test_who_holds_pages_and_buffers(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    text = browser.text()
    assert "528 pages, 256 may have changed hands, 256 allocated before the observer came." in text
    assert "kworker/1:2[77] (kernel), v4l2: vim2m" in text
    assert "dma-bufs: 1 of 64 KiB, held by camera 64 KiB, codec 64 KiB." in text


def test_failures_one_by_one(browser: Browser, site: Site) -> None:
    unknown = dataclasses.replace(samples.view(), failures=())
    show(browser, site, unknown)
    assert "1 allocation failed; none of them is known one by one." in browser.text()
    site.view = dataclasses.replace(unknown, failures=tuple(
        Failure(1767225600.0 + at, "reserved", at, "EBUSY", "loader", 7, 0.002, "busy",
                f"{at} places tried", busy=(Busy(0x41200, 256, 0x41234),)) for at in (1, 2)))
    browser.until("return document.querySelectorAll('#failures tbody tr').length === 4")
    rows = browser.run("return [...document.querySelectorAll('#failures tbody tr')]"
                       ".map((row) => row.innerText.split(/\\t|\\n+/))")
    assert [row[1:] for row in rows[::2]] == [
        ["reserved", "2", "EBUSY", "busy", "loader[7]", "2 ms"],
        ["reserved", "1", "EBUSY", "busy", "loader[7]", "2 ms"]]
    assert rows[1::2] == [["2 places tried", "page 0x41234 stayed"],
                          ["1 places tried", "page 0x41234 stayed"]]


def test_causes_phases_and_retries_of_an_area(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    text = browser.text()
    assert "oversize\t1\tit asked for more than the area has in one run" in text
    assert re.search(r"draining\t88%\t50\t1.31-1.57 ms\t1.31-1.57 ms", text), repr(text)
    assert "tried again" in text
    assert "at 1 more places" in text
    show(browser, site, samples.plain_view())
    for part in ("Why allocations failed", "Where the time of allocations"):
        assert part in text
        assert part not in browser.text()


def test_areas_of_one_name_do_not_disturb_each_other(browser: Browser, site: Site) -> None:
    view = samples.view()
    assert view.reading is not None
    twice = [dataclasses.replace(view, areas=(view.areas[0],) * 2, reading=dataclasses.replace(
        view.reading, wall_s=view.reading.wall_s + later)) for later in (1, 2)]
    show(browser, site, twice[0])
    browser.run("document.getElementById('area-1').mark = true")
    show(browser, site, twice[1])
    assert browser.run("return document.getElementById('area-1').mark")


def test_a_million_pages(browser: Browser, site: Site) -> None:
    big = AreaFacts(0, "reserved", 0x100000, 1 << 20, 0)
    held = tuple((big.base_pfn + 4096 * at, 3) for at in range(256))
    view = dataclasses.replace(screens.view(10), areas=(big,), reading=samples.reading(
        5, (samples.counts(big), samples.state(big, 5, held))))
    show(browser, site, view)
    text = browser.text()
    assert "1,048,576" in text
    assert "pages a cell" in text
    assert "mixed" in text
