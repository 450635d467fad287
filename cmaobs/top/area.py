# SPDX-License-Identifier: GPL-2.0
"""One area on the screen: its latencies as bars, and in full with its map. Pure."""

from __future__ import annotations

import math

from cmaobs.state import AreaState
from cmaobs.top import grid
from cmaobs.top.figures import AreaFigures
from cmaobs.top.frame import Frame
from cmaobs.top.grid import Line, Span, Style, line

_GLYPHS: dict[str, tuple[str, Style]] = {
    "allocated": ("#", "allocated"), "deferred": ("=", "deferred"), "clear": (".", "dim"),
    "mixed": ("*", "")}
_LEFT = 12  # columns of the pfn beside the map


def latencies(one: AreaFigures, seconds: float | None, width: int) -> list[Line]:
    """A line for each way that operations took: how often, quantiles, and a bar from p50 to p99."""
    when = "since the start" if seconds is None else f"last {seconds:.1f} s"
    room = max(0, width - 60)
    title, unit = f"{one.name[:12]}, {when}", "count" if seconds is None else "/s"
    lines = [line(Span(f"{title:<26}{unit:>6}  {'P50':<13}{'P99':<13}{grid.scale(room)}", "head"))]
    for path in one.paths:
        if path.taken.count <= 0:
            lines.append(line(f"  {path.name:<22}{grid.count(path.per_s):>8}"))
            continue
        p50, p99 = path.taken.quantile(0.5), path.taken.quantile(0.99)
        assert p50 is not None
        assert p99 is not None
        rate = path.per_s if seconds is not None else path.taken.count
        lines.append([*line(f"  {path.name:<22}{grid.count(rate):>8}  {grid.bounds(p50):<13}"
                            f"{grid.bounds(p99):<13}"),
                      *(grid.span_bar(p50[0], p99[1], room) if room > 7 else [])])
    if len(lines) == 1:
        lines.append(line("  no operations yet"))
    return lines


def whole(one: AreaFigures, now: Frame, seconds: float | None, width: int,
          rows: int | None) -> list[Line]:
    """One area in full: numbers, latencies, and a map in what is left of the rows."""
    number = grid.count
    lines = [
        line(Span(f"area {one.name}", "bold"), f": {one.pages:.0f} pages, "
             f"{number(one.allocated, 9)} allocated ({grid.share(one.use)}), "
             f"{number(one.free, 9)} free"),
        line(f"longest clear run {number(one.largest, 9)}, fragmentation "
             f"{grid.share(one.fragmentation)}; failed {number(one.failed)}"
             + (", since the start: " if one.failures else "")
             + ", ".join(f"{errno} {value:.0f}" for errno, value in one.failures))]
    if one.deferred is not None:
        lines.append(line(
            f"deferred {number(one.deferred, 9)} in {number(one.extents)} extents, batch "
            f"{number(one.batch)}; misses {number(one.misses)}, scans {number(one.scans)}, "
            f"reclaimed {number(one.reclaimed)} pages"))
    lines += [line(), *latencies(one, seconds, width), line()]
    state = now.states.get(one.name)
    if state is None:
        return [*lines, line("no map: this source does not have the area page by page")]
    return lines + area_map(state, width, None if rows is None else rows - len(lines))


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
