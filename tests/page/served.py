# SPDX-License-Identifier: GPL-2.0
"""The real server, with a view that a test sets."""

from __future__ import annotations

from reference.browser import Browser

from cmaobs.config import Address
from cmaobs.server import Health, Server
from cmaobs.view import View


class Site:
    """What is served. start() and stop() keep the port."""

    def __init__(self) -> None:
        self.view = View({}, ())
        self.health = Health(1000)
        self._address = Address("127.0.0.1", 0)
        self._server: Server | None = None
        self.start()
        self.url = f"http://{self._address}/"

    def start(self) -> None:
        """Answer."""
        self._server = Server(self._address, lambda: self.view, self.health)
        self._address = self._server.address
        self._server.__enter__()

    def stop(self) -> None:
        """Do not answer any more."""
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None


def show(browser: Browser, site: Site, view: View) -> None:
    """Serve the view, and wait until the page shows its reading.

    It asks at once when somebody looks at it again.
    """
    site.view = view
    wanted = view.reading.wall_s if view.reading else None
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.until("return JSON.parse(document.documentElement.dataset.time ?? '[]')[0]"
                  " === arguments[0]", wanted)
    if view.verdict is not None:
        browser.until("return document.getElementById('badge').textContent === arguments[0]",
                      view.verdict.outcome.name.lower())
