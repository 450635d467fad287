# SPDX-License-Identifier: GPL-2.0
"""One real Chromium, and for each test a page in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from golden import samples
from reference.browser import Browser, chromium
from reference.ports import free_port

from page.served import Site


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """For all tests."""
    with chromium(tmp_path_factory.mktemp("chromium"), free_port()) as browser:
        yield browser


@pytest.fixture
def site() -> Iterator[Site]:
    """A server; the view is one of samples, which a test may change."""
    one = Site()
    one.view = samples.view()
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def browser(chrome: Browser, site: Site) -> Iterator[Browser]:
    """The browser at the page, as a desk has it; afterwards nothing must have gone wrong in it."""
    chrome.resize(1200, 900)
    chrome.open("about:blank")
    chrome.complaints()
    chrome.requests()
    chrome.open(site.url)
    chrome.until("return document.getElementById('badge').textContent")
    yield chrome
    assert chrome.complaints() == []
