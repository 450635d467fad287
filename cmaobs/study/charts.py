# SPDX-License-Identifier: GPL-2.0
"""Rows drawn as SVG, narrow enough for a phone. Pure.

Each mark says which row it shows (data-row) and what it shows of it (data-value), and its title has
the number for people. Colours are classes: the page's style has them for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from cmaobs.study.numbers import Row

WIDTH = 360
_LEFT, _RIGHT, _TOP, _LINE = 92, 12, 20, 15
_UNITS = {"seconds": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
          "bytes a second": ((1e6, "MB/s"), (1e3, "kB/s"))}
SHAPES = {"p50": "●", "p90": "◐", "p99": "○"}


class Mark(NamedTuple):
    """A row to be drawn. number: of the row in the CSV. series: a class of the style."""

    number: int
    row: Row
    series: str


class Line(NamedTuple):
    """What is drawn at one height, and its name."""

    name: str
    marks: Sequence[Mark]


class Scale(NamedTuple):
    """From values to places; ticks to be written below."""

    place: Callable[[float], float]
    ticks: Sequence[float]


def shown(value: float | None, unit: str) -> str:
    """A number for people, with its unit."""
    if value is None:
        return "no limit"
    for size, name in _UNITS.get(unit, ()):
        if value >= size:
            return f"{value / size:.3g} {name}"
    if unit == "ratio":
        return f"{value:.3g}"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}"


def with_interval(row: Row) -> str:
    """The value, its interval, and how certain that is."""
    text = shown(row.value, row.unit)
    if row.confidence == 0:
        return f"{text}; one run"
    if row.low is None and row.high is None:
        return text
    text += f" ({shown(row.low, row.unit)} to {shown(row.high, row.unit)}"
    if row.confidence is not None and row.confidence < 1:
        text += f"; {row.confidence:.0%}, {row.runs} runs"
    return text + ")"


def dots(title: str, lines: Sequence[Line], log: bool) -> str:
    """Values with their intervals, a line each."""
    values = [bound for line in lines for mark in line.marks
              for bound in (mark.row.value, mark.row.low, mark.row.high) if bound is not None]
    if not values:
        return ""
    unit = lines[0].marks[0].row.unit
    scale = _log(values) if log and min(values) > 0 else _linear(values)
    height = _TOP + len(lines) * _LINE + 22
    return _svg(title, height, [*_axis(scale, height, unit),
                                *(part for at, line in enumerate(lines)
                                  for part in _dotted(line, _TOP + at * _LINE + 8, scale))])


def _dotted(line: Line, y: int, scale: Scale) -> Iterator[str]:
    yield f'<text x="0" y="{y + 4}">{escape(line.name)}</text>'
    for mark in line.marks:
        row = mark.row
        assert row.value is not None
        about = f"{line.name}, {row.statistic}: {with_interval(row)}"
        yield f'<g class="{mark.series}" {_data(mark, row.value)}><title>{escape(about)}</title>'
        if row.low is not None:
            end = scale.place(row.high) if row.high is not None else WIDTH - _RIGHT
            yield (f'<path class="whisker" d="M{scale.place(row.low):.1f} {y}H{end:.1f}"/>')
        shape = SHAPES.get(row.statistic, "●")
        yield f'<text class="dot" x="{scale.place(row.value):.1f}" y="{y + 4}">{shape}</text></g>'


def distribution(title: str, series: Sequence[Sequence[Mark]]) -> str:
    """Shares of operations by slot, one outline over the other; time to the right, by octaves."""
    edges = [edge for marks in series for mark in marks
             for edge in (mark.row.from_s, mark.row.to_s) if edge]
    if not edges:
        return ""
    scale = _log(edges)
    height, floor = 150, 124
    shares = []
    for marks in series:
        total = sum(mark.row.value or 0 for mark in marks)
        shares.append([(mark, (mark.row.value or 0) / total) for mark in marks])
    most = max(share for found in shares for _, share in found)
    parts = list(_axis(scale, height, "seconds"))
    for found in shares:
        parts += [_bar(mark, share, share / most * (floor - _TOP), floor, scale)
                  for mark, share in found]
    return _svg(title, height, parts)


def _bar(mark: Mark, share: float, tall: float, floor: int, scale: Scale) -> str:
    row = mark.row
    left = scale.place(row.from_s) if row.from_s else _LEFT
    right = scale.place(row.to_s) if row.to_s else WIDTH - _RIGHT
    about = (f"{shown(row.from_s or 0.0, 'seconds')} to {shown(row.to_s, 'seconds')}: "
             f"{row.value:.0f} operations, {share:.1%}")
    return (f'<rect class="{mark.series} area" {_data(mark, row.value)} x="{left:.1f}" '
            f'y="{floor - tall:.1f}" width="{max(right - left - 0.5, 1):.1f}" '
            f'height="{tall:.1f}"><title>{escape(about)}</title></rect>')


def stacked(title: str, lines: Sequence[Line]) -> str:
    """Parts that add up to a whole, side by side on one line."""
    wholes = [sum(mark.row.value or 0 for mark in line.marks) for line in lines]
    if not any(wholes):
        return ""
    unit = lines[0].marks[0].row.unit
    scale = _linear([0.0, max(wholes)])
    height = _TOP + len(lines) * _LINE + 22
    parts = list(_axis(scale, height, unit))
    for at, line in enumerate(lines):
        y, sofar = _TOP + at * _LINE, 0.0
        parts.append(f'<text x="0" y="{y + 12}">{escape(line.name)}</text>')
        for mark in line.marks:
            assert mark.row.value is not None
            left, sofar = scale.place(sofar), sofar + mark.row.value
            about = f"{line.name}, {mark.row.statistic}: {with_interval(mark.row)}"
            parts.append(f'<rect class="{mark.series}" {_data(mark, mark.row.value)} '
                         f'x="{left:.1f}" y="{y + 3}" height="10" '
                         f'width="{max(scale.place(sofar) - left, 0):.1f}">'
                         f"<title>{escape(about)}</title></rect>")
    return _svg(title, height, parts)


def _data(mark: Mark, value: float | None) -> str:
    return f'data-row="{mark.number}" data-value="{value!r}"'


def _log(values: Sequence[float]) -> Scale:
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - 0.05, max(high, low + 0.1) + 0.05
    steps = (1,) if high - low > 2 else (1, 2, 5)
    ticks = [step * 10.0 ** decade for decade in range(math.floor(low), math.ceil(high))
             for step in steps if low <= math.log10(step) + decade <= high]
    return Scale(lambda value: _between((math.log10(value) - low) / (high - low)), ticks)


def _linear(values: Sequence[float]) -> Scale:
    high = max(*values, 0.0) or 1.0
    step = 10.0 ** math.floor(math.log10(high))
    step = next(step * by for by in (0.25, 0.5, 1, 2.5) if high / (step * by) <= 4.5)
    ticks = [step * i for i in range(int(high / step) + 1)]
    return Scale(lambda value: _between(value / high), ticks)


def _between(share: float) -> float:
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _axis(scale: Scale, height: int, unit: str) -> Iterator[str]:
    for tick in scale.ticks:
        x = scale.place(tick)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{height - 20}"/>'
        label = "0" if not tick else shown(tick, unit).replace(" " + unit, "")
        yield f'<text class="tick" x="{x:.1f}" y="{height - 6}">{escape(label)}</text>'


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (f'<figure><svg role="img" aria-label="{escape(title)}" '
            f'viewBox="0 0 {WIDTH} {height}"><text class="title" x="0" y="11">{escape(title)}'
            f'</text>{"".join(parts)}</svg></figure>\n')
