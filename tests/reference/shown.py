# SPDX-License-Identifier: GPL-2.0
"""What the page shows, read out of a browser in one go, and held against /metrics and `top`."""

from __future__ import annotations

import math
import urllib.request
from dataclasses import dataclass
from typing import Any

from cmaobs.top.figures import AreaFigures
from cmaobs.top.frame import Frame, Key, of_text
from reference.browser import Browser

_SCRIPT = """
const all = (name) => [...document.querySelectorAll(`[data-${name}]`)]
  .filter((e) => e.checkVisibility());
return [JSON.parse(document.documentElement.dataset.time ?? "[null, null]"),
  all("metric").map((e) => [e.dataset.metric, JSON.parse(e.dataset.labels), e.textContent]),
  all("figure").map((e) => [e.closest("[data-area]").dataset.area, e.dataset.figure,
    JSON.parse(e.dataset.value), e.textContent])];
"""
_ALONE = ("use", "fragmentation", "hit_share", "allocs_per_s", "releases_per_s", "failed",
          "misses", "reclaimed", "retried", "retries")


@dataclass(frozen=True)
class Shown:
    """time_s: of the moment; before_s: figures are since then, None being the start.

    numbers: by metric and labels, None where the page says there is none. figures: by area and
    name. texts: how figures are written.
    """

    time_s: float | None
    before_s: float | None
    numbers: dict[Key, float | None]
    figures: dict[tuple[str, str], Any]
    texts: dict[tuple[str, str], str]


def shown(browser: Browser) -> Shown:
    """All numbers that are in sight; the same number twice must be the same."""
    (time_s, before_s), numbers, figures = browser.run(_SCRIPT)
    by_key: dict[Key, float | None] = {}
    for name, labels, text in numbers:
        value = None if text == "-" else float(text.replace(",", ""))
        assert by_key.setdefault((name, tuple(labels)), value) == value
    return Shown(time_s, before_s, by_key,
                 {(area, name): value for area, name, value, _ in figures},
                 {(area, name): text for area, name, _, text in figures})


def scraped(url: str) -> Frame:
    """What /metrics says now."""
    with urllib.request.urlopen(f"{url}metrics", timeout=30) as answer:
        return of_text(answer.read().decode())


def equal_metrics(page: Shown, metrics: Frame, moving: tuple[str, ...] = (),
                  later: Frame | None = None) -> int:
    """Every number of the page is that of /metrics; how many there were.

    moving: metrics that go on between two readings; of them later has at least as much.
    """
    for (name, labels), value in page.numbers.items():
        if name in moving:
            assert later is not None
            assert value is not None
            assert value <= (later.number(name, *labels) or 0), name
        else:
            assert value == metrics.number(name, *labels), (name, labels)
    return len(page.numbers)


def equal_top(page: Shown, one: AreaFigures) -> int:
    """Every figure of the area is what `cmaobs top` makes of it; how many there were."""
    compared = 0
    for name in _ALONE:
        if (one.name, name) in page.figures:
            assert _same(page.figures[one.name, name], getattr(one, name)), (one.name, name)
            compared += 1
    for path in (*one.paths, *one.phases):
        bounds = [found and [None if math.isinf(end) else end for end in found]
                  for found in (path.taken.quantile(0.5), path.taken.quantile(0.99))]
        count, per_s, *quantiles = page.figures[one.name, path.name]
        assert count == path.taken.count
        assert _same(per_s, path.per_s)
        assert quantiles == bounds
        compared += 1
    return compared


def _same(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=1e-12)
