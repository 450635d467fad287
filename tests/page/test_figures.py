# SPDX-License-Identifier: GPL-2.0
"""Figures on the page are those of /metrics and of `cmaobs top`, from a recording of a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import samples, screens
from reference.browser import Browser
from reference.shown import equal_metrics, equal_top, scraped, shown
from system.tools import ROOT

from cmaobs.commands import running
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.state import Reading
from cmaobs.top import figures
from cmaobs.top.frame import of_view
from cmaobs.view import View
from page.served import Site, show

_OPEN = "for (const one of document.querySelectorAll('details')) one.open = true"


_DEMO, _FAILING = (ROOT / name for name in ("cmaobs/data/demo.cmarec",
                                             "docs/tutorial/failing.cmarec"))


def replayed(path: Path) -> Iterator[View]:
    """The view after each reading of a recording."""
    source = RecordingSource(str(path))
    observer = Observer(source, running.checker(source), follow=True)
    for step in observer.steps():
        if isinstance(step, Reading):
            yield observer.view
    source.close()


def test_every_number_is_that_of_metrics(browser: Browser, site: Site) -> None:
    """Nothing of /metrics is missing, at some moments of a recording and on made-up kernels."""
    recorded = list(replayed(_DEMO))
    views = [*recorded[1::len(recorded) // 3], recorded[-1], samples.plain_view(), samples.view()]
    assert len(views) > 5
    browser.run(_OPEN)
    for view in views:
        show(browser, site, view)
        metrics = scraped(site.url)
        page = shown(browser)
        assert page.time_s == metrics.wall_s
        gauges = {key for key, value in metrics.samples.items() if isinstance(value, float)}
        assert equal_metrics(page, metrics) >= len(gauges) > 40
        assert gauges <= page.numbers.keys()


@pytest.mark.parametrize("window", ["10", "60", "0"])
def test_figures_are_those_of_top(browser: Browser, site: Site, window: str) -> None:
    """Of the same two moments: of recordings, one with failures and phases, and of an even load."""
    compared = phases = 0
    recorded, failing = (list(replayed(path)) for path in (_DEMO, _FAILING))
    for views in (recorded[::len(recorded) // 6], failing[-12:],
                  [screens.view(at) for at in range(0, 90, 18)]):
        browser.run("const w = document.getElementById('window'); w.value = arguments[0];"
                    "w.dispatchEvent(new Event('change'))", window)
        by_time = {}
        for view in views:
            assert view.reading is not None
            by_time[view.reading.wall_s] = of_view(view)
            show(browser, site, view)
        page = shown(browser)
        assert page.time_s == max(by_time)
        assert (page.before_s is None) == (window == "0")
        now = by_time[page.time_s]
        before = None if page.before_s is None else by_time[page.before_s]
        for one in figures.areas(now, before):
            compared += equal_top(page, one)
            phases += len(one.phases)
        site.view = View({}, ())
        browser.open(site.url)
    assert compared >= 60
    assert phases == 7


def test_all_of_the_time_gives_the_counters_themselves(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(20))
    browser.press("t", "t")
    page = shown(browser)
    assert page.before_s is None
    assert page.numbers["cma_defer_misses_total", ("reserved",)] == 20
    assert page.numbers["cma_alloc_total", ("codec", "failed")] == 6
    assert page.texts["reserved", "hit_share"] == "80%"
    assert page.texts["reserved", "allocs_per_s"] == "-"
    assert page.texts["reserved", "alloc contig"] == "200 operations, p50 328-393 us, " \
        "p99 16.8-21 ms"


def test_an_observer_that_began_anew_begins_a_new_history(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(40))
    show(browser, site, screens.view(50))
    assert shown(browser).before_s == screens.START_S + 40
    show(browser, site, screens.view(2))
    assert shown(browser).before_s is None
    show(browser, site, screens.view(4))
    assert shown(browser).before_s == screens.START_S + 2


def test_the_map_has_the_colours_of_the_pages(browser: Browser, site: Site) -> None:
    view = screens.view(8)
    show(browser, site, view)
    across, ratio, pixels = browser.run("""
        const canvas = document.querySelector("#area-0 .map canvas");
        const note = document.querySelector("#area-0 .note").textContent;
        if (!note.startsWith("One page a cell")) throw new Error(note);
        const across = 32 * Math.floor(canvas.clientWidth / 5 / 32);
        const side = canvas.width / across, context = canvas.getContext("2d");
        const down = Math.ceil(16384 / across);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        return [across, side, Array.from({length: 16384}, (_, at) => {
          const x = Math.floor((at % across + 0.5) * side);
          const y = Math.floor((Math.floor(at / across) + 0.5) * canvas.height / down);
          return [...data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 4)];
        })];
    """)
    assert across >= 32
    assert ratio >= 5
    colours = {state: browser.run("""
        const probe = document.createElement("i");
        document.body.append(probe);
        probe.className = arguments[0];
        const [r, g, b] = getComputedStyle(probe).backgroundColor.match(/\\d+/g).map(Number);
        probe.remove();
        return [r, g, b, 255];""", state) for state in ("allocated", "deferred", "free")}
    state = view.state("reserved")
    assert state is not None
    expected = ["free"] * 16384
    for name, runs in (("allocated", state.allocated), ("deferred", state.extents or ())):
        for pfn, pages in runs:
            at = pfn - state.facts.base_pfn
            expected[at:at + pages] = [name] * pages
    assert set(expected) == set(colours)
    assert [colours[one] for one in expected] == pixels
