# SPDX-License-Identifier: GPL-2.0
"""The tables of docs/performance.md, from the figures of a run. Pure but for put()."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"



def draw(figures: Mapping[str, Any]) -> str:
    """Both tables, and what they were measured on."""
    rows = figures["rows"]
    nothing = rows["nothing"]
    lines = [
        f"Kernel {figures['release']} ({figures['machine']}) with the patches, one processor; "
        + ", ".join(f"{name} {version}" for name, version in figures["tools"].items())
        + ". The first row is the pair, the others what is added to it.", "",
        "| attached | " + " | ".join(nothing) + " |", "|---|" + "---:|" * len(nothing)]
    for name, row in rows.items():
        cells = [f"{row[key][0] - nothing[key][0]:+,.0f}" if row is not nothing
                 else f"{row[key][0]:,.0f}" for key in nothing]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    spread = max(row[key][2] - row[key][1] for row in rows.values() for key in row
                 if key.startswith("hit"))
    contig = max(row[key][2] - row[key][1] for row in rows.values() for key in row
                 if key.startswith("contig"))
    lines += ["", f"Half of the rounds lie within {spread:,.0f} of each other in every cell of a "
              f"hit, within {contig:,.0f} in every one of contig."]
    if figures["served"]:
        lines += ["", *_served(figures["served"])]
    return "\n".join(lines)


def _served(served: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = ["| `cmaobs serve` | to the first metrics | at rest, a second | at 1,000 operations/s, "
             "a second | an operation | a scrape | resident |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for name, one in served.items():
        cells = (f"{one['start_ns'] / 1e6:,.0f} M", f"{one['rest'] / 1e6:,.1f} M",
                 f"{one['busy'] / 1e6:,.1f} M", f"{(one['busy'] - one['rest']) / 1000:,.0f}",
                 f"{one['scrape_ns'] / 1e6:,.1f} M, {one['scrape_bytes']:,.0f} bytes",
                 f"{one['resident_kb'] / 1000:.1f} MB")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def put(file: Path, text: str) -> None:
    """Between the marks of the file; raises ValueError where it has none."""
    whole = file.read_text()
    head, begin, rest = whole.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} has no marks {BEGIN} and {END}")
    file.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
