# SPDX-License-Identifier: GPL-2.0
"""A divergence told and drawn as one HTML page that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from cmaobs.report import picture, story
from cmaobs.report.text import clean

Data = Mapping[str, Any]

HEAD = "<!DOCTYPE html>\n<!-- cmaobs explain -->\n"
_CELL = 12
_LEFT = 90
_LANE = 22
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fdfdfb; --faint: #777;
  --allocated: #33658a; --deferred: #f0a202; --free: #dfe3e6; --unknown: #b9a7c9;
  --mixed: #7b8b6f; --mark: #c1121f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181a; --faint: #999;
  --allocated: #5b9bd5; --deferred: #ffb627; --free: #34393d; --unknown: #6d5a85;
  --mixed: #8fa37f; --mark: #ff6b6b; } }
body { font: 15px/1.5 sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62em; margin: 2em auto; padding: 0 1em; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 11px monospace; fill: var(--ink); }
code, .stack { font: 12px monospace; color: var(--faint); }
.allocated { fill: var(--allocated); } .deferred { fill: var(--deferred); }
.free { fill: var(--free); } .unknown { fill: var(--unknown); } .mixed { fill: var(--mixed); }
.mark { fill: none; stroke: var(--mark); stroke-width: 2; }
.call { fill: var(--faint); } .op { fill: var(--allocated); }
"""


def page(divergences: list[Data], verdict: str) -> str:
    """All of them, the first one first; verdict: its outcome."""
    body = [HEAD, '<html lang="en"><head><meta charset="utf-8"><title>cmaobs: ',
            _safe(verdict), "</title>\n<style>", _STYLE, "</style></head>\n<body>",
            f"<h1>verdict: {_safe(verdict)}</h1>\n"]
    for one in divergences:
        body += _divergence(one)
    return "".join([*body, "</body></html>\n"])


def _safe(text: str) -> str:
    return escape(clean([text]).rstrip("\n"))


def _divergence(one: Data) -> Iterator[str]:
    yield f"<section><h2>{_safe(one['rule'])} in area {_safe(one['area'])}</h2>\n"
    yield from (f"<p>{_safe(sentence)}</p>\n" for sentence in story.told(one))
    at_rest = one["at_rest"]
    for key, title in (("before", "By the operations" if at_rest else "Before"),
                       ("after", "In the kernel" if at_rest else "After, as recorded")):
        if one[key]:
            yield f"<h3>{title}</h3>\n"
            yield _pages(picture.rows(one[key], one["pages"]), f"{title}: pages by state")
            yield from (f"<p>{_safe(sentence)}</p>\n" for sentence in story.state(one[key]))
    if one["before"]:
        yield _key()
    if one["operations"]:
        yield "<h3>Operations</h3>\n<ol>\n"
        for op in one["operations"]:
            yield f"<li>{_safe(story.who(op))}: {_safe(story.did(op))}<br><code>"
            yield "<br>".join(map(_safe, story.steps(op))) + "</code>"
            if op["stack"]:
                yield f'<div class="stack">{_safe(" < ".join(op["stack"]))}</div>'
            yield "</li>\n"
        yield "</ol>\n<h3>Time line</h3>\n<p>In order of time, not to scale.</p>\n"
        yield _time_line(picture.time_line(one))
    yield "</section>\n"


def _pages(rows: list[picture.Cells], label: str) -> str:
    height = len(rows) * (_CELL + 6)
    out = [f'<svg role="img" aria-label="{_safe(label)}" '
           f'viewBox="0 0 {_LEFT + picture.ACROSS * _CELL + 2} {height + 4}">']
    for at, row in enumerate(rows):
        y = at * (_CELL + 6) + 2
        out.append(f'<text x="0" y="{y + 10}">{row.pfn:#010x}</text>')
        for i, (state, mark) in enumerate(zip(row.states, row.concerned, strict=True)):
            x = _LEFT + i * _CELL
            pfn = row.pfn + i * row.pages
            out.append(f'<rect class="{state}" x="{x}" y="{y}" width="{_CELL - 1}" '
                       f'height="{_CELL - 1}"><title>pfn {pfn:#x}: {state}</title></rect>')
            if mark:
                out.append(f'<rect class="mark" x="{x}" y="{y}" width="{_CELL - 1}" '
                           f'height="{_CELL - 1}"/>')
    return "".join([*out, "</svg>\n"])


def _key() -> str:
    out = [f'<svg role="img" aria-label="key" viewBox="0 0 {_LEFT + 768} 18">']
    x = _LEFT
    for state in (*picture.STATES, picture.MIXED):
        out.append(f'<rect class="{state}" x="{x}" y="2" width="11" height="11"/>'
                   f'<text x="{x + 16}" y="12">{state}</text>')
        x += 110
    out.append(f'<rect class="mark" x="{x}" y="2" width="11" height="11"/>'
               f'<text x="{x + 16}" y="12">concerned</text>')
    return "".join([*out, "</svg>\n"])


def _time_line(line: picture.TimeLine) -> str:
    left, width = 330, 530
    step = width / max(line.columns - 1, 1)
    height = len(line.bars) * _LANE + 8
    out = [f'<svg role="img" aria-label="time line of the operations" '
           f'viewBox="0 0 {left + width + 10} {height}">']
    for lane, bar in enumerate(line.bars):
        y = lane * _LANE + 4
        name = f"{bar.number}. " if bar.number else "    "
        label = (f"{name}{bar.record['kind']} {bar.record['path']} {story.run(bar.record)} "
                 f"{bar.at_us[0]:.1f}-{bar.at_us[1]:.1f} us")
        length = max((bar.last - bar.first) * step, 3)
        out.append(f'<text x="0" y="{y + 12}">{_safe(label)}</text>'
                   f'<rect class="{"op" if bar.number else "call"}" '
                   f'x="{left + bar.first * step:.1f}" y="{y}" width="{length:.1f}" '
                   f'height="{_LANE - 8}"><title>{_safe(story.did(bar.record))}</title></rect>')
    x = left + line.noticed * step
    out.append(f'<path class="mark" d="M{x:.1f} 0V{height}"><title>the divergence</title></path>')
    return "".join([*out, "</svg>\n"])
