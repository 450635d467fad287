# SPDX-License-Identifier: GPL-2.0
"""What the page's addresses answer with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from cmaobs import report
from cmaobs.page import data
from cmaobs.page.told import told
from cmaobs.report import drawing
from cmaobs.report.data import divergence
from cmaobs.state import Reading
from cmaobs.view import View

Answer = tuple[str, bytes]
"""Content type and body."""

HEADERS = {
    # Nothing but the files beside the page; no markup from strings, no frames, no forms.
    "Content-Security-Policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
          "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_TEXT = "text/plain; charset=utf-8"
_DIVERGENCE = re.compile(r"/divergence/(\d{1,3})\.(json|txt)")


class Page:
    """Answers from the view as it is when asked.

    health: what /healthz says. Several browsers that ask within one reading cost as much as one.
    """

    def __init__(self, view: Callable[[], View], health: Callable[[], str]) -> None:
        self._view, self._health = view, health
        self._areas: tuple[Reading | None, list[dict[str, Any]]] | None = None
        directory = resources.files("cmaobs.page").joinpath("static")
        self._files = {f"/{file.name}": (_TYPES[file.name.rpartition(".")[2]], file.read_bytes())
                       for file in directory.iterdir()}
        self._files["/"] = self._files.pop("/index.html")

    def answer(self, path: str) -> Answer | None:
        """To a path without its query; None where there is nothing under it."""
        if path in self._files:
            return self._files[path]
        view = self._view()
        if path == "/view.json":
            return _json(data.data(view, self._drawn(view), self._health()))
        if path == "/summary.txt":
            return _TEXT, report.draw_summary(report.summary(view)).encode()
        match = _DIVERGENCE.fullmatch(path)
        found = view.verdict.divergences if view.verdict else ()
        if match is None or int(match[1]) >= len(found):
            return None
        one = found[int(match[1])]
        if match[2] == "json":
            return _json(told(one, view.stacks))
        return _TEXT, drawing.draw(divergence(one, view.stacks)).encode()

    def _drawn(self, view: View) -> list[dict[str, Any]]:
        """The areas; made once for each reading."""
        kept = self._areas
        if kept is None or kept[0] is not view.reading or not view.reading:
            kept = self._areas = view.reading, data.areas(view)
        return kept[1]


def _json(what: dict[str, Any]) -> Answer:
    return "application/json", json.dumps(what, separators=(",", ":")).encode()
