# SPDX-License-Identifier: GPL-2.0
"""One area in full: its figures, and below them one of keys.PARTS, or all of them. Pure."""

from __future__ import annotations

import datetime
import textwrap

from cmaobs import why
from cmaobs.top import area, grid
from cmaobs.top.figures import AreaFigures
from cmaobs.top.frame import Frame
from cmaobs.top.grid import Line, Span, line
from cmaobs.top.keys import PARTS

_HELD = "cma_caller_held_pages"
_INDENT = " " * 9  # below the time of a failure


def whole(one: AreaFigures, now: Frame, seconds: float | None, width: int, rows: int | None,
          part: str, zone: datetime.tzinfo | None) -> list[Line]:
    """The area. rows: None shows all parts. seconds: what figures are of, None is since the start.

    zone: of the clock shown, None being the machine's.
    """
    lines = [*area.figures(one, width), line()]
    if rows is None or part == "map":  # the others need the room
        lines += [*area.latencies(one, seconds, width), line()]
    left = None if rows is None else rows - len(lines)
    for name in PARTS if rows is None else (part,):
        if name == "map":
            lines += _map(one, now, width, left)
        elif name == "failures":
            lines += failures(one, now, width, zone)
        elif name == "holders":
            lines += holders(one, now)
        else:
            lines += area.phases(one, seconds, width)
        lines.append(line())
    return lines[:-1]


def _map(one: AreaFigures, now: Frame, width: int, rows: int | None) -> list[Line]:
    state = now.states.get(one.name)
    if state is None:
        return [line("no map: this source does not have the area page by page")]
    return area.area_map(state, width, rows)


def failures(one: AreaFigures, now: Frame, width: int, zone: datetime.tzinfo | None) -> list[Line]:
    """The latest failures with their numbers, and the page that stayed where they were busy."""
    known = [failure for failure in reversed(now.failures) if failure.area == one.name]
    if not known:
        if not one.failures:
            return [line("no allocation from this area failed")]
        return [line("its failures are not known one by one" if now.states else
                     "an exporter does not tell failures one by one; its page at / does")]
    lines = [line(Span("latest failures", "bold"))]
    for failure in known:
        lines.append(line(
            f"{grid.clock(failure.wall_s, zone)} ", Span(failure.cause, "bad"),
            f": {failure.pages} pages, {failure.errno}, {failure.comm}[{failure.pid}], took "
            f"{grid.duration(failure.duration_s)}"))
        told = [failure.told, *(why.page_told(busy.data()) for busy in failure.busy[-1:])]
        lines += [line(_INDENT + text) for each in told
                  for text in textwrap.wrap(each, max(20, width - len(_INDENT)))]
    return lines


def holders(one: AreaFigures, now: Frame) -> list[Line]:
    """Who holds the area's pages, those that hold most first."""
    found = sorted(((now.number(_HELD, *labels) or 0, labels) for labels in now.labels(_HELD)
                    if labels[0] == one.name), reverse=True)
    if not found:
        return [line("nobody is known to hold pages" if now.labels(_HELD) else
                     "holders are not followed by this source")]
    lines = [line(Span(f"{'HELD':>9}{'OLDEST':>10}{'ALLOCS':>9}{'FAILED':>8}  CALLER, DRIVER",
                       "head"))]
    for pages, labels in found:
        oldest = now.number("cma_caller_held_oldest_seconds", *labels)
        allocs, failed = (now.number(f"cma_caller_{what}_total", *labels)
                          for what in ("allocs", "alloc_failures"))
        lines.append(line(
            f"{grid.count(pages, 9):>9}{'-' if oldest is None else f'{oldest:.1f} s':>10}"
            f"{grid.count(allocs):>9}{grid.count(failed):>8}  "
            + ", ".join(word for word in labels[2:] if word)))
    return lines
