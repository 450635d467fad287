# SPDX-License-Identifier: GPL-2.0
"""A divergence told and drawn as text, 80 columns wide, without colours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs.report import picture, story
from cmaobs.report.text import clean

Data = Mapping[str, Any]

WIDTH = 80
GLYPHS = {"allocated": "#", "deferred": "=", "free": ".", "unknown": "?", picture.MIXED: "*"}
_BAR = 28
_LABEL = 27


def draw(one: Data) -> str:
    """Sentences, the pages before and after, the operations and their time line."""
    lines = [*_wrapped(story.told(one), ""), ""]
    lines += _operations(one)
    if one["before"]:
        lines += [*_pages("Before" if not one["at_rest"] else "By the operations",
                          one["before"], one["pages"]), ""]
    if one["after"]:
        lines += [*_pages("After, as recorded" if not one["at_rest"] else "In the kernel",
                          one["after"], one["pages"]), ""]
    if one["before"]:
        key = "  ".join(f"{glyph} {state}" for state, glyph in GLYPHS.items())
        lines += [f"  {key}  ^ concerned", ""]
    if one["operations"]:
        lines += [*_time_line(picture.time_line(one)), ""]
    return clean(lines)


def _wrapped(sentences: Iterator[str], indent: str, hang: str = "  ") -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(sentence, WIDTH, initial_indent=indent,
                                 subsequent_indent=indent + hang, break_on_hyphens=False)


def _operations(one: Data) -> Iterator[str]:
    if not one["operations"]:
        return
    origin = picture.time_line(one).bars[0].record["start_ns"]
    yield f"Operations concerned, oldest first (us after {origin / 1e9:.6f} s):"
    for number, op in enumerate(one["operations"], start=1):
        start, end = ((op[key] - origin) / 1e3 for key in ("start_ns", "end_ns"))
        yield from _wrapped(iter((f"{number}. {start:.1f} to {end:.1f}  {story.who(op)}: "
                                  f"{story.did(op)}",)), "  ", "   ")
        yield from _wrapped(story.steps(op), "     ")
        if op["stack"]:
            yield from _wrapped(iter(("stack: " + " < ".join(op["stack"]),)), "     ")
    yield ""


def _pages(title: str, known: Data, concerned: list[list[int]]) -> Iterator[str]:
    rows = picture.rows(known, concerned)
    scale = f", {rows[0].pages} pages a character" if rows and rows[0].pages > 1 else ""
    yield f"{title}{scale}:"
    for row in rows:
        yield f"  {row.pfn:#010x}  {''.join(GLYPHS[state] for state in row.states)}"
        if any(row.concerned):
            yield " " * 14 + "".join("^" if mark else " " for mark in row.concerned)
    yield from _wrapped(story.state(known), "  ")


def _time_line(line: picture.TimeLine) -> Iterator[str]:
    yield "Time line (columns are in order of time, not to scale; us):"
    scale = min(1.0, (_BAR - 1) / max(line.columns - 1, 1))
    for bar in line.bars:
        first, last = int(bar.first * scale), int(bar.last * scale)
        ends = "[]" if bar.number else "<>"
        inside = ("=" if bar.number else "-") * (last - first - 1)
        drawn = " " * first + (f"{ends[0]}{inside}{ends[1]}" if last > first else "|")
        name = f"{bar.number:>2} " if bar.number else "     "
        label = f"{name}{bar.record['kind']} {_short(bar.record)}"[:_LABEL]
        times = f"{bar.at_us[0]:.1f} to {bar.at_us[1]:.1f}"
        yield f"{label:<{_LABEL}} {times:>{WIDTH - _LABEL - _BAR - 3}}  {drawn}"
    yield " " * (WIDTH - _BAR + int(line.noticed * scale)) + "!"


def _short(record: Data) -> str:
    if record["kind"] in ("scan", "count", "batch", "policy"):
        return str(record["count"])
    path = "" if record["path"] == "none" else f"{record['path']} "
    return f"{path}{record['pfn']:#x}+{record['count']}"
