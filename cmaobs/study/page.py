# SPDX-License-Identifier: GPL-2.0
"""The report as one HTML file that asks nothing of the network, and its CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from cmaobs.report.text import clean
from cmaobs.study import alone, compared, parts_alone, parts_compared
from cmaobs.study.alone import Measured
from cmaobs.study.book import Section
from cmaobs.study.manifest import Manifest
from cmaobs.study.numbers import as_csv

HEAD = "<!DOCTYPE html>\n<!-- cmaobs report -->\n"
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fdfdfb; --faint: #6a6a6a;
  --line: #d9dcdf; --off: #b3541e; --on: #1f6f8b; --third: #8a7a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181a; --faint: #a0a0a0;
  --line: #3a3f44; --off: #ff9d66; --on: #6cc4e0; --third: #d9c74a; } }
body { font: 15px/1.5 sans-serif; color: var(--ink); background: var(--paper);
  max-width: 75em; margin: 1.5em auto; padding: 0 1em; overflow-wrap: anywhere; }
.plots { display: grid; gap: 1em 2em; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20em), 1fr)); }
figure { margin: 0; max-width: 34em; min-width: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 10px sans-serif; fill: var(--ink); }
svg .title { font-weight: bold; } svg .tick { fill: var(--faint); text-anchor: middle; }
svg .dot { text-anchor: middle; } svg .grid { stroke: var(--line); }
.off .dot, .off text, rect.off, .off { fill: var(--off); }
.on .dot, .on text, rect.on, .on { fill: var(--on); }
rect.third { fill: var(--third); } rect.off.area { fill-opacity: 0.55; }
rect.on.area { fill-opacity: 0.55; }
.whisker { stroke-width: 2; stroke: var(--ink); stroke-opacity: 0.55; }
.off .whisker { stroke: var(--off); } .on .whisker { stroke: var(--on); }
b.off { color: var(--off); } b.on { color: var(--on); } b.third { color: var(--third); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: 0.15em 0.8em 0.15em 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; overflow-wrap: normal; } td.wide { white-space: normal; }
.note { color: var(--faint); }
"""


class Report(NamedTuple):
    """Two files, and how many numbers are in them."""

    html: str
    csv: str
    rows: int


def report(measured: Sequence[Measured], manifest: Manifest | None) -> Report:
    """Of the recordings of a manifest, or of recordings each by itself."""
    if manifest is None:
        rows = [row for one in measured for row in alone.rows(one)]
        parts = parts_alone.of_recordings(measured, rows)
        about: Mapping[str, str] = {}
    else:
        groups = compared.groups(manifest, {one.name: one for one in measured})
        rows = list(compared.rows(manifest, groups))
        parts = parts_compared.of_trial(manifest, measured, rows)
        about = manifest.host
    return Report("".join(_page(parts, about, measured)), as_csv(rows), len(rows))


def _page(parts: Sequence[Section], about: Mapping[str, str],
          measured: Sequence[Measured]) -> Iterator[str]:
    yield HEAD
    yield ('<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
           'content="width=device-width, initial-scale=1"><title>cmaobs report</title>\n<style>')
    yield _STYLE
    yield "</style></head>\n<body><h1>Deferred freeing in CMA: what was measured</h1>\n"
    yield from _about(about, measured)
    for part in parts:
        if not any((any(part.plots), len(part.table) > 1, part.always)):
            continue
        yield f"<section><h2>{safe(part.title)}</h2>\n"
        yield from (f"<p>{safe(text)}</p>\n" for text in part.text)
        if part.key:
            yield '<p class="note">' + ", ".join(
                f'<b class="{kind}">{safe(name)}</b>' for kind, name in part.key) + "</p>\n"
        if part.plots:
            yield '<div class="plots">\n' + "".join(part.plots) + "</div>\n"
        if part.table:
            yield from _table(part.table)
        yield "</section>\n"
    yield "</body></html>\n"


def _about(about: Mapping[str, str], measured: Sequence[Measured]) -> Iterator[str]:
    """Kernel, config and machine, as they are known."""
    rows = list(about.items())
    seen: dict[str, list[str]] = {}
    for one in measured:
        said = one.view.identity
        text = (f"{said.get('release', 'unknown')} on {said.get('machine', 'unknown')}, "
                f"{'defers' if one.view.patched else 'does not defer'}, probed by "
                f"{said.get('attach', 'unknown')}, clock {said.get('clocksource', 'unknown')}")
        seen.setdefault(text, []).append(one.name)
    for text, names in seen.items():
        rows.append(("observed", text + (f" ({', '.join(names)})" if len(seen) > 1 else "")))
    if not about:
        rows.append(("config, processors", "unknown: a recording does not say; a manifest does"))
    yield "<div class=\"scroll\"><table>" + "".join(
        f'<tr><th scope="row">{safe(name)}</th><td class="wide">{safe(value)}</td></tr>'
        for name, value in rows) + "</table></div>\n"


def _table(table: Sequence[Sequence[str]]) -> Iterator[str]:
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{safe(cell)}</th>' for cell in table[0])
    yield "</tr></thead><tbody>\n"
    for line in table[1:]:
        yield "<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in line) + "</tr>\n"
    yield "</tbody></table></div>\n"


def safe(text: str) -> str:
    """As text, whatever a file or a kernel says."""
    return escape(clean([text]).rstrip("\n"))
