# SPDX-License-Identifier: GPL-2.0
"""One area on the screen: its latencies as bars, and in full. Pure."""

from __future__ import annotations

import math
import textwrap

from cmaobs.state import AreaState
from cmaobs.top import grid
from cmaobs.top.figures import AreaFigures, PathFigures
from cmaobs.top.grid import Line, Span, Style, line

_GLYPHS: dict[str, tuple[str, Style]] = {
    "allocated": ("#", "allocated"), "deferred": ("=", "deferred"), "clear": (".", "dim"),
    "mixed": ("*", "")}
_LEFT = 12  # columns of the pfn beside the map


def latencies(one: AreaFigures, seconds: float | None, width: int) -> list[Line]:
    """A line for each way that operations took: how often, quantiles, and a bar from p50 to p99."""
    lines = [_timed_head(one, seconds, width),
             *(_timed(path.name, path, seconds, width) for path in one.paths)]
    return lines if one.paths else [*lines, line("  no operations yet")]


def phases(one: AreaFigures, seconds: float | None, width: int) -> list[Line]:
    """The same for each phase of allocations, with its share of their time."""
    if not one.phases:
        return [line("no phases: they need --phases, and an allocation through the buddy")]
    whole_s = sum(phase.taken.sum_s for phase in one.phases)
    return [
        line(Span("phases of allocations through the buddy, and their shares of the time",
                  "bold")),
        _timed_head(one, seconds, width), *(
            _timed(f"{phase.name.removeprefix('phase '):<12}"
                   + (f"{phase.taken.sum_s / whole_s:>6.1%}" if whole_s else ""),
                   phase, seconds, width) for phase in one.phases)]


def _timed_head(one: AreaFigures, seconds: float | None, width: int) -> Line:
    when = "since start" if seconds is None else f"last {seconds:.1f} s"
    title, unit = f"{one.name[:22 - len(when)]}, {when}", "count" if seconds is None else "/s"
    return line(Span(f"{title:<24}{unit:>6}  {'P50':<14}{'P99':<14}{grid.scale(_bar(width))}",
                     "head"))


def _timed(name: str, path: PathFigures, seconds: float | None, width: int) -> Line:
    p50, p99 = path.taken.quantile(0.5), path.taken.quantile(0.99)
    rate = path.taken.count if seconds is None else path.per_s
    found = line(f"  {name:<20}{grid.count(rate):>8}")
    if p50 is None or p99 is None:
        return found
    return [*found, *line(f"  {grid.bounds(p50):<14}{grid.bounds(p99):<14}"),
            *(grid.span_bar(p50[0], p99[1], _bar(width)) if _bar(width) > 7 else [])]


def _bar(width: int) -> int:
    return max(0, width - 60)


def figures(one: AreaFigures, width: int) -> list[Line]:
    """The numbers of an area, without its latencies."""
    number = grid.count
    again = "" if one.retried is None else (
        f", retried {number(one.retried)} (+{number(one.retries)} places)")
    lines = [
        line(Span(f"area {one.name}", "bold"), f": {one.pages:.0f} pages, "
             f"{number(one.allocated, 9)} allocated ({grid.share(one.use)}), "
             f"{number(one.free, 9)} free"),
        line(f"longest clear run {number(one.largest, 9)}, fragmentation "
             f"{grid.share(one.fragmentation)}; failed {number(one.failed)}{again}")]
    if one.failures:
        text = "failed since the start: " + "; ".join(
            ", ".join(f"{name} {value:.0f}" for name, value in kinds)
            for kinds in (one.failures, one.causes) if kinds)
        lines += [line(part) for part in textwrap.wrap(text, width, subsequent_indent="  ")]
    if one.deferred is not None:
        policy = f", {one.policy}" if one.policy else ""
        text = (f"deferred {number(one.deferred, 9)} in {number(one.extents)} extents, batch "
                f"{number(one.batch)}{policy}; misses {number(one.misses)}, scans "
                f"{number(one.scans)}, reclaimed {number(one.reclaimed)} pages")
        lines += [line(part) for part in textwrap.wrap(text, width, subsequent_indent="  ")]
    return lines


def area_map(state: AreaState, width: int, rows: int | None) -> list[Line]:
    """The area page by page, so many pages a character that it fits; 16 rows where rows is None."""
    facts = state.facts
    across = 1 << int(math.log2(max(8, width - _LEFT)))
    down = 16 if rows is None else max(1, rows - 1)
    scale = 1
    while facts.count > scale * across * down:
        scale *= 2
    cells = ["clear"] * -(-facts.count // scale)
    full = [0] * len(cells)
    for kind, runs in (("allocated", state.allocated), ("deferred", state.extents or ())):
        for pfn, pages in runs:
            _fill(cells, full, kind, (pfn - facts.base_pfn, pages), scale)
    for place, pages in enumerate(full):
        if 0 < pages < min(scale, facts.count - place * scale):
            cells[place] = "mixed"
    key = "  ".join(f"{glyph} {name}" for name, (glyph, _) in _GLYPHS.items())
    rest = "" if state.at_rest else "; read in motion"
    lines = [line(f"{scale} page{'s' * (scale > 1)} a character: {key}{rest}")]
    for first in range(0, len(cells), across):
        row = line(f"{facts.base_pfn + first * scale:#010x}  ")
        for cell in cells[first:first + across]:
            glyph, style = _GLYPHS[cell]
            if row[-1].style == style and len(row) > 1:
                row[-1] = Span(row[-1].text + glyph, style)
            else:
                row.append(Span(glyph, style))
        lines.append(row)
    return lines


def _fill(cells: list[str], full: list[int], kind: str, run: tuple[int, int],
          scale: int) -> None:
    """Note a run, first page and pages, in the cells that it touches."""
    first, end = run[0], run[0] + run[1]
    for cell in range(first // scale, -(-end // scale)):
        full[cell] += min(end, (cell + 1) * scale) - max(first, cell * scale)
        cells[cell] = kind if cells[cell] in ("clear", kind) else "mixed"
