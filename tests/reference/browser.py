# SPDX-License-Identifier: GPL-2.0
"""A real Chromium, told what to do over W3C WebDriver by Debian's chromium-driver."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DEADLINE_S = 300
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
          "--force-prefers-reduced-motion", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--hide-scrollbars")
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Space": "\ue00d"}


class Browser:
    """One window. Scripts are bodies of functions, which return what JSON can say."""

    def __init__(self, driver: str, session: str) -> None:
        self._url = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._post("url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def until(self, script: str, *arguments: Any) -> Any:
        """The first true value of the script."""
        return wait(lambda: self.run(script, *arguments), f"{script}\n{self.text()}")

    def text(self) -> str:
        """What the page says."""
        return str(self.run("return document.body.innerText"))

    def press(self, *keys: str) -> None:
        """Keys, one after another, to whatever has the focus."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)}
                   for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def click(self, selector: str) -> None:
        """With the mouse, on the first element found."""
        found = self._post("element", using="css selector", value=selector)
        self._post(f"element/{next(iter(found.values()))}/click")

    def resize(self, width: int, height: int, dark: bool = False, mobile: bool = False) -> None:
        """The size of what is seen, in CSS pixels, and what the system prefers."""
        self._cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if mobile else 1, mobile=mobile)
        self._cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self, file: Path, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        data = base64.b64decode(self._cdp("Page.captureScreenshot", captureBeyondViewport=whole)
                                ["data"])
        file.write_bytes(data)
        return data

    def complaints(self) -> list[str]:
        """What the console said since it was last asked: errors, and what a policy blocked."""
        return [one["message"] for one in self._post("se/log", type="browser")
                if one["level"] in ("SEVERE", "WARNING")]

    def complained(self, *parts: str) -> None:
        """Wait until the console has said all of this; it comes after what it is about."""
        said: list[str] = []

        def all_said() -> bool:
            said.extend(self.complaints())
            return all(any(part in line for line in said) for part in parts)

        wait(all_said, f"{parts} are not all in {said}")

    def requests(self) -> set[str]:
        """Addresses that were asked for since it was last asked."""
        messages = [json.loads(one["message"])["message"]
                    for one in self._post("se/log", type="performance")]
        return {one["params"]["request"]["url"] for one in messages
                if one["method"] == "Network.requestWillBeSent"}

    def spoken(self) -> list[tuple[str, str]]:
        """Role and name of what a screen reader is told, in order."""
        self._cdp("Accessibility.enable")
        return [(one["role"]["value"], one.get("name", {}).get("value", ""))
                for one in self._cdp("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]

    def _cdp(self, command: str, **parameters: Any) -> Any:
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def _post(self, path: str, **body: Any) -> Any:
        return post(f"{self._url}/{path}", body)


def post(url: str, body: dict[str, Any], method: str = "POST") -> Any:
    """The value that the driver answers; AssertionError with what it says where it refuses."""
    request = urllib.request.Request(url, json.dumps(body).encode(), method=method,
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_DEADLINE_S) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error


def wait(what: Callable[[], Any], why: str) -> Any:
    """The first true value."""
    deadline = time.monotonic() + _DEADLINE_S
    while not (value := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
    return value


@contextmanager
def chromium(profile: Path, port: int) -> Iterator[Browser]:
    """A Chromium that ends with the block; the driver listens on the port."""
    driver = f"http://127.0.0.1:{port}"
    options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options,
              "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
    with subprocess.Popen(["chromedriver", f"--port={port}", "--silent"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait(lambda: _ready(driver), "chromedriver does not answer")
            session = post(f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
            yield Browser(driver, session["sessionId"])
            post(f"{driver}/session/{session['sessionId']}", {}, "DELETE")
        finally:
            process.terminate()


def _ready(driver: str) -> bool:
    try:
        with urllib.request.urlopen(f"{driver}/status", timeout=5) as answer:
            return bool(json.load(answer)["value"]["ready"])
    except OSError:
        return False
