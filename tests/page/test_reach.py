# SPDX-License-Identifier: GPL-2.0
"""The page for everyone: with keys, with ears, on a phone, in light and dark."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from golden import recordings, samples, screens
from reference.browser import Browser

from page.served import Site, show

_ACTIVE = "return document.activeElement.id"


def test_keys(browser: Browser, site: Site) -> None:
    show(browser, site, screens.view(10))
    browser.press("j")
    assert browser.run(_ACTIVE) == "area-0"
    browser.press("j", "j", "j")
    assert browser.run(_ACTIVE) == "area-2"
    browser.press("k")
    assert browser.run(_ACTIVE) == "area-1"
    browser.press("v")
    assert browser.run(_ACTIVE) == "verdict"
    browser.press("f")
    assert browser.run(_ACTIVE) == "failed"
    browser.press("t")
    assert browser.run("return document.getElementById('window').value") == "60"
    browser.press("?")
    assert browser.run("return document.getElementById('help').open")
    browser.press("j", "Escape")
    assert not browser.run("return document.getElementById('help').open")
    assert browser.run(_ACTIVE) == "failed"


def test_letters_can_be_turned_off(browser: Browser, site: Site) -> None:
    browser.click("#keys")
    browser.click("#letters")
    browser.press("Escape", "j", "p")
    assert browser.run(_ACTIVE) == "keys"
    assert "Pause" in browser.text()


def test_light_and_dark_by_the_system_and_by_choice(browser: Browser, site: Site) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(background)
    browser.resize(1200, 900, dark=True)
    dark = browser.run(background)
    assert light != dark
    browser.press("l")
    assert browser.run(background) == light
    browser.press("l")
    browser.resize(1200, 900, dark=False)
    assert browser.run(background) == dark
    browser.open(site.url)
    browser.until("return document.getElementById('theme').textContent === 'Theme: dark'")
    assert browser.run(background) == dark
    browser.click("#theme")
    assert browser.run(background) == light


def test_everything_is_reached_with_tab_and_the_focus_is_seen(
        browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    browser.run("document.activeElement.blur()")
    wanted = browser.run("""
        return [...document.querySelectorAll("a, button, select, summary, .scroll")].filter(
            (one) => one.checkVisibility() && !one.closest("dialog")).length""")
    seen = []
    for _ in range(wanted):
        browser.press("Tab")
        seen.append(browser.run("""
            const one = document.activeElement, style = getComputedStyle(one);
            return [one.tagName, one.textContent.slice(0, 30), style.outlineStyle,
                    parseFloat(style.outlineWidth)]"""))
    assert seen[0][1] == "Skip to the areas"
    assert len({tuple(one[:2]) for one in seen}) > 15
    for tag, text, style, width in seen:
        assert tag != "BODY"
        assert (style, width >= 2) == ("solid", True), (tag, text)
    browser.press("Tab")
    assert browser.run("return document.activeElement.tagName") in ("BODY", "A")


def test_what_a_screen_reader_is_told(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    browser.click(".divergence summary")
    spoken = browser.spoken()
    roles = {role for role, _ in spoken}
    assert {"main", "banner", "heading", "table", "columnheader", "image", "button"} <= roles
    for role, name in spoken:
        if role in ("button", "link", "image", "combobox", "region", "heading", "checkbox"):
            assert name, role
    assert ("image", "Map of area reserved: 528 pages allocated, 96 deferred, 15,760 free. "
            "The table below lists the runs.") in spoken
    assert [name for role, name in spoken if role == "status"] or "status" in roles


def test_the_map_as_a_table(browser: Browser, site: Site) -> None:
    show(browser, site, samples.view())
    browser.click("#area-0 .map summary")
    rows = browser.until("const rows = [...document.querySelectorAll('#area-0 .map tbody tr')];"
                         "return rows.length && rows.map((row) => row.innerText.split('\\t'))")
    assert [rows[0], rows[1]] == [["allocated", "0x40000", "512"], ["deferred", "0x40200", "32"]]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 16384


@pytest.mark.parametrize("width", [320, 360])
def test_on_a_phone_nothing_sticks_out(
        browser: Browser, site: Site, tmp_path: Path, width: int) -> None:
    browser.resize(width, 740, mobile=True)
    for view in (samples.view(), screens.view(10), recordings.unlawful(tmp_path)):
        show(browser, site, view)
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
        show(browser, site, view)  # once more, with all of it open
        browser.until("return ![...document.querySelectorAll('.divergence .note')]"
                      ".some((one) => one.textContent === 'asking')")
        time.sleep(0.3)
        browser.until("return document.documentElement.scrollWidth === arguments[0]", width)
