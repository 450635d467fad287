# SPDX-License-Identifier: GPL-2.0
"""The page of the device under load, in a real Chromium on this host."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from reference.browser import Browser, chromium
from reference.ports import free_port
from reference.shown import equal_metrics, equal_top, scraped, shown

from cmaobs.top import figures
from cmaobs.top.frame import Frame
from system.tools import DEADLINE_S

pytestmark = pytest.mark.vm
# What goes on between two readings: see cmaobs/observe.py.
MOVING = ("cmaobs_records_total", "cmaobs_counts_compared_total")


class Scraper(threading.Thread):
    """Asks for /metrics again and again; frames are the last of each reading, by its time."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.frames: dict[float, Frame] = {}
        self.failures: list[OSError | HTTPException] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Until stop()."""
        while not self._over.wait(0.1):
            if frame := self.ask():
                self.frames[frame.wall_s] = frame

    def ask(self) -> Frame | None:
        """What it says now, if it does."""
        try:
            return scraped(self.url)
        except (OSError, HTTPException) as err:  # two guests and Chromium can keep it waiting long
            self.failures.append(err)
            return None

    def stop(self) -> None:
        """And wait for it."""
        self._over.set()
        self.join()


@pytest.fixture(scope="module")
def page(live: tuple[int, Path],
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    """The device's page, everything on it open, and its address."""
    url = f"http://127.0.0.1:{live[0]}/"
    with chromium(tmp_path_factory.mktemp("chromium"), free_port()) as browser:
        browser.resize(1200, 900)
        browser.open(url)
        browser.until("return document.getElementById('badge').className === 'agree'")
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        browser.until("return document.querySelector('#numbers tbody tr')")
        yield browser, url
        assert browser.complaints() == []


def test_figures_equal_metrics_and_those_of_top(page: tuple[Browser, str]) -> None:
    """Of the same readings: every number of /metrics, and the figures of an interval."""
    browser, url = page
    scraper = Scraper(url)
    scraper.start()
    compared = 0
    deadline = time.monotonic() + DEADLINE_S
    try:
        while compared < 3:
            assert time.monotonic() < deadline, f"compared {compared}: {scraper.failures}"
            seen = shown(browser)
            time.sleep(0.3)
            now, before = (scraper.frames.get(at or 0) for at in (seen.time_s, seen.before_s))
            later = scraper.ask()
            if now is None or before is None or later is None:
                continue
            gauges = {key for key, value in now.samples.items() if isinstance(value, float)}
            assert gauges <= seen.numbers.keys()
            assert equal_metrics(seen, now, MOVING, later) >= len(gauges) > 60
            area, = figures.areas(now, before)
            # without quantiles, for which /metrics is too coarse
            assert equal_top(seen, dataclasses.replace(area, paths=(), phases=())) >= 8
            # the load may have been kept waiting for all of the interval
            compared += bool(area.allocs_per_s)
    finally:
        scraper.stop()


def test_what_only_the_page_has(page: tuple[Browser, str]) -> None:
    """The map, holders by name, durations by path."""
    browser, _ = page
    browser.until("return document.querySelectorAll('#area-0 .paths canvas').length >= 3")
    for part in ("defers", "agree: everything seen follows the rules.", "alloc defer_hit",
                 "alloc contig", "release deferred", "a cell, row by row", "Who holds the pages"):
        browser.until("return document.body.innerText.includes(arguments[0])", part)
    browser.until("return document.getElementById('area-0').innerText.includes('cmaobs')")
    browser.until("""
        const canvas = document.querySelector("#area-0 .map canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 3).join());
        return seen.size >= 2""")
