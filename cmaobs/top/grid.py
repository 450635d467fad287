# SPDX-License-Identifier: GPL-2.0
"""Lines of text with styles, and the small drawings in them. ASCII only, for serial consoles. Pure.

A style is a word that the terminal may turn into a colour or an attribute; without colours nothing
is lost, because no style says what the text does not.
"""

from __future__ import annotations

import datetime
import math
from typing import Literal, NamedTuple

Style = Literal["", "head", "bold", "dim", "good", "warn", "bad", "select", "allocated", "deferred"]
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "?")
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_DECADES = (-7, 1)  # of the latency bars: 100 ns to 10 s


class Span(NamedTuple):
    """Text of one style."""

    text: str
    style: Style = ""


Line = list[Span]


def line(*spans: str | Span) -> Line:
    """A line; bare strings have no style. Control characters are replaced."""
    return [Span(one.text.translate(_CONTROLS), one.style) if isinstance(one, Span)
            else Span(one.translate(_CONTROLS)) for one in spans]


def width_of(one: Line) -> int:
    """Columns that it takes."""
    return sum(len(span.text) for span in one)


def cut(one: Line, width: int) -> Line:
    """The line, at most so wide."""
    kept, left = [], width
    for span in one:
        if left > 0:
            kept.append(Span(span.text[:left], span.style))
        left -= len(span.text)
    return kept


def end_of(text: str, width: int) -> str:
    """The text, or "..." and as much of its end as fits: of a path, the name."""
    return text if len(text) <= width else "..." + text[len(text) - width + 3:]


def plain(lines: list[Line]) -> str:
    """As text, without styles."""
    return "".join("".join(span.text for span in one).rstrip() + "\n" for one in lines)


def bar(share: float | None, width: int, style: Style = "allocated", more: float = 0.0) -> Line:
    """[###==....]: a share from 0 to 1, and another one on top of it, drawn as deferred."""
    inner = width - 2
    if share is None:
        return line("[" + "?" * inner + "]")
    first = min(inner, math.ceil(share * inner - 1e-9))
    second = min(inner - first, math.ceil(more * inner - 1e-9))
    return line("[", Span("#" * first, style), Span("=" * second, "deferred"),
                Span("." * (inner - first - second), "dim"), "]")


def span_bar(low_s: float, high_s: float, width: int) -> Line:
    """Where low to high lies between 100 ns and 10 s, each decade as wide as the next."""
    first = _column(low_s, width)
    last = max(first, _column(high_s, width))
    return line(Span("." * first, "dim"), Span("#" * (last - first + 1), "allocated"),
                Span("." * (width - last - 1), "dim"))


def scale(width: int) -> str:
    """Marks for span_bar, as far as they fit."""
    text = " " * width
    for decade, name in ((-6, "1us"), (-4, "0.1ms"), (-3, "1ms"), (-2, "10ms"), (0, "1s")):
        at = _column(10.0 ** decade, width)
        place = text[max(at - 1, 0):at + len(name) + 1]
        if at + len(name) <= width and not place.strip():
            text = text[:at] + name + text[at + len(name):]
    return text


def _column(seconds: float, width: int) -> int:
    low, high = _DECADES
    if seconds <= 10.0 ** low:
        return 0
    share = (math.log10(min(seconds, 10.0 ** high)) - low) / (high - low)
    return min(width - 1, int(share * width + 1e-9))


def bounds(pair: tuple[float, float] | None) -> str:
    """A quantile's bounds with one unit: 12.3-14.3 us."""
    if pair is None:
        return "-"
    low, high = pair
    top = low if math.isinf(high) else high
    factor, unit = next(((f, u) for f, u in _UNITS if top >= f), _UNITS[-1])
    if math.isinf(high):
        return f">{low / factor:.3g} {unit}"
    return f"{low / factor:.3g}-{high / factor:.3g} {unit}"


def duration(seconds: float) -> str:
    """5.2 ms."""
    factor, unit = next(((f, u) for f, u in _UNITS if seconds >= f), _UNITS[-1])
    return f"{seconds / factor:.3g} {unit}"


def count(value: float | None, width: int = 6) -> str:
    """A number in so many columns: 40.1, 16384, 1.2M; "-" where it is not known."""
    if value is None:
        return "-"
    for factor, unit in ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        scaled = value / factor
        text = f"{scaled:.0f}" if scaled >= 99.95 or scaled == int(scaled) else f"{scaled:.1f}"
        if len(text) + len(unit) <= width:
            return text + unit
    return f"{value:.0e}"


def clock(wall_s: float, zone: datetime.tzinfo | None) -> str:
    """The time of day of seconds since 1970; zone: None is the machine's."""
    return datetime.datetime.fromtimestamp(wall_s, zone).strftime("%H:%M:%S")


def share(value: float | None) -> str:
    """12%, or "-"."""
    return "-" if value is None else f"{value:.0%}"
