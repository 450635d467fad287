# SPDX-License-Identifier: GPL-2.0
"""What whatif says as one HTML page that asks nothing of the network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from cmaobs.report.text import clean
from cmaobs.report.whatif_text import cells, seconds

Data = Mapping[str, Any]

HEAD = "<!DOCTYPE html>\n<!-- cmaobs whatif -->\n"
_COLUMNS = ("policy", "batch", "hit ratio", "p50", "p99", "worst", "failed",
            "withheld pages: mean", "most", "flushed pages", "scanned pages", "fragmentation")
_LEFT, _WIDE, _ROW = 240, 560, 24
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fdfdfb; --faint: #777; --line: #ccc;
  --hit: #33658a; --p50: #33658a; --p99: #f0a202; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181a; --faint: #999;
  --line: #444; --hit: #5b9bd5; --p50: #5b9bd5; --p99: #ffb627; } }
body { font: 15px/1.5 sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72em; margin: 2em auto; padding: 0 1em; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 11px monospace; fill: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font: 12px monospace; }
td, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
td:first-child, th:first-child { text-align: left; }
.best { font-weight: bold; }
.hit { fill: var(--hit); } .p50 { fill: var(--p50); stroke: var(--p50); }
.p99 { fill: var(--p99); stroke: var(--p99); } .grid { stroke: var(--line); }
.held { fill: none; stroke: var(--hit); stroke-width: 1.5; }
.faint { color: var(--faint); }
"""


def page(data: Data) -> str:
    """The whole page."""
    body = [HEAD, '<html lang="en"><head><meta charset="utf-8"><title>cmaobs: what if</title>\n'
            "<style>", _STYLE, "</style></head>\n<body>",
            "<h1>What if this load met other rules?</h1>\n"]
    body += [f"<p><strong>{_safe(sentence)}</strong></p>\n"
             for sentence in data["recommendation"]]
    body += _demand(data)
    body += _table(data)
    body += _bars(data["outcomes"])
    body += _latencies(data["outcomes"])
    body += _series(data["outcomes"])
    body += ["<h2>What was assumed</h2>\n<ul>",
             *(f"<li>{_safe(told)}</li>\n" for told in data["assumptions"]), "</ul>"]
    return "".join([*body, "</body></html>\n"])


def _safe(text: object) -> str:
    return escape(clean([str(text)]).rstrip("\n"))


def _name(one: Data) -> str:
    return f"{one['policy']}, {one['batch']}" if one["batch"] else str(one["policy"])


def _demand(data: Data) -> Iterator[str]:
    yield "<ul>"
    for one in data["demand"]:
        yield (f"<li>{_safe(one['recording'])}, area {_safe(one['area'])}: {one['allocations']} "
               f"allocations by {one['threads']} threads in {one['seconds']:.1f} s</li>\n")
    for what, count in data["left_out"].items():
        yield f'<li class="faint">left out or mended: {count} {_safe(what)}</li>\n'
    yield "</ul>\n"


def _table(data: Data) -> Iterator[str]:
    best = data["best"]["policy"], data["best"]["batch"]
    yield '<div class="scroll"><table><tr>'
    yield "".join(f"<th>{_safe(name)}</th>" for name in _COLUMNS) + "</tr>\n"
    for one in data["outcomes"]:
        mark = ' class="best"' if (one["policy"], one["batch"]) == best else ""
        yield f"<tr{mark}>" + "".join(f"<td>{_safe(cell)}</td>" for cell in cells(one)) + "</tr>\n"
    yield "</table></div>\n"


def _svg(label: str, height: int, inside: Sequence[str]) -> str:
    return (f'<svg role="img" aria-label="{_safe(label)}" '
            f'viewBox="0 0 {_LEFT + _WIDE + 90} {height}">{"".join(inside)}</svg>\n')


def _bars(outcomes: Sequence[Data]) -> Iterator[str]:
    """Hit ratios, with a line from the lowest to the highest of the varied replays."""
    yield "<h2>Hits, of the allocations that were granted</h2>\n"
    inside = []
    for row, one in enumerate(outcomes):
        y, ratio = row * _ROW + 4, one["hit_ratio"]
        inside.append(f'<text x="0" y="{y + 12}">{_safe(_name(one)[:36])}</text>')
        if ratio:
            low, high = (_LEFT + _WIDE * ratio[side] for side in ("low", "high"))
            inside.append(
                f'<rect class="hit" x="{_LEFT}" y="{y}" width="{_WIDE * ratio["value"]:.1f}" '
                f'height="14"/><path class="grid" d="M{low:.1f} {y + 16}H{high:.1f}"/>'
                f'<text x="{_LEFT + _WIDE + 6}" y="{y + 12}">{ratio["value"]:.1%}</text>')
    yield _svg("hit ratio by policy", len(outcomes) * _ROW + 8, inside)


def _latencies(outcomes: Sequence[Data]) -> Iterator[str]:
    """p50 and p99 on a logarithmic scale, each with its interval."""
    shown = [one["latency"][name][side] for one in outcomes if one["latency"]
             for name in ("p50_s", "p99_s") for side in ("low", "high")]
    if not shown:
        return
    first, last = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    last = max(last, first + 1)

    def across(value: float) -> float:
        return _LEFT + _WIDE * (math.log10(value) - first) / (last - first)

    height = len(outcomes) * _ROW + 26
    inside = [f'<path class="grid" d="M{across(10.0 ** i):.1f} 0V{height - 18}"/>'
              f'<text x="{across(10.0 ** i) - 14:.1f}" y="{height - 4}">{seconds(10.0 ** i)}</text>'
              for i in range(first, last + 1)]
    for row, one in enumerate(outcomes):
        y = row * _ROW + 10
        inside.append(f'<text x="0" y="{y + 4}">{_safe(_name(one)[:36])}</text>')
        for name in ("p50", "p99") if one["latency"] else ():
            it = one["latency"][f"{name}_s"]
            inside.append(
                f'<path class="{name}" stroke-width="2" d="M{across(it["low"]):.1f} {y}'
                f'H{across(it["high"]):.1f}"/><circle class="{name}" r="4" cy="{y}" '
                f'cx="{across(it["value"]):.1f}"><title>{name} {seconds(it["value"])}</title>'
                "</circle>")
    yield "<h2>p50 (left) and p99 (right) of cma_alloc, with their 95 % intervals</h2>\n"
    yield _svg("latency by policy", height, inside)


def _series(outcomes: Sequence[Data]) -> Iterator[str]:
    """Mean pages withheld over time, on one scale: a line for each policy, recording and area."""
    yield "<h2>Pages withheld from the rest of the system, over time</h2>\n"
    most = max(max(line["mean_pages"]) for one in outcomes for line in one["series"])
    for one in outcomes:
        for line in one["series"]:
            if not max(line["mean_pages"]):
                continue
            step = _WIDE / max(len(line["mean_pages"]) - 1, 1)
            points = " ".join(f"{_LEFT + i * step:.1f},{44 - 40 * pages / most:.1f}"
                              for i, pages in enumerate(line["mean_pages"]))
            yield _svg(f"pages withheld under {_name(one)}", 50, [
                f'<text x="0" y="16">{_safe(_name(one)[:36])}</text>'
                f'<text class="faint" x="0" y="32">{_safe(line["area"])}</text>'
                f'<polyline class="held" points="{points}"/>'
                f'<text x="{_LEFT + _WIDE + 6}" y="16">{most:.0f} pages</text>'
                f'<text x="{_LEFT + _WIDE + 6}" y="46">{line["seconds"]:.0f} s</text>'])
