# SPDX-License-Identifier: GPL-2.0
"""The real server, with a view that a test sets."""

from __future__ import annotations

from reference.browser import Browser
from reference.ports import free_port

from cmaobs.config import Address
from cmaobs.server import Health, Server
from cmaobs.view import View

# Numbers the questions for view.json, one of which is asked at a time: begun, over, and drawn, the
# last of which the answer was drawn. What the page does of an answer is done before the time-out.
_COUNTED = """
    if (!window.counted) {
      const counted = window.counted = { begun: 0, over: 0, drawn: 0 }, real = window.fetch;
      window.fetch = async (what, ...more) => {
        if (what !== "view.json") return real(what, ...more);
        const mine = ++counted.begun;
        const over = () => setTimeout(() => { counted.over = mine; });
        try {
          const answer = await real(what, ...more), json = answer.json.bind(answer);
          if (!answer.ok) over();
          answer.json = () => json().then((found) => {
            setTimeout(() => { counted.over = counted.drawn = mine; });
            return found;
          }, (error) => { over(); throw error; });
          return answer;
        } catch (error) { over(); throw error; }
      };
    }
    return window.counted.begun;"""


class Site:
    """What is served. start() and stop() keep the port."""

    def __init__(self) -> None:
        self.view = View({}, ())
        self.health = Health(1000)
        self._address = Address("127.0.0.1", free_port())  # nobody takes it while it is down
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
    """Serve the view, and wait until the page shows it.

    It asks at once when somebody looks at it again.
    """
    site.view = view
    before = browser.run(_COUNTED)
    wanted = view.reading.wall_s if view.reading else None
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.until("return JSON.parse(document.documentElement.dataset.time ?? '[]')[0]"
                  " === arguments[0]", wanted)
    browser.until("return window.counted.drawn > arguments[0]", before)
    if view.verdict is not None:
        browser.until("return document.getElementById('badge').textContent === arguments[0]",
                      view.verdict.outcome.name.lower())


def pause(browser: Browser) -> None:
    """By its key, after show(); then nothing that was asked before is on its way any more."""
    browser.press("p")
    browser.until("return window.counted.over === window.counted.begun")
