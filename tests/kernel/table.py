# SPDX-License-Identifier: GPL-2.0
"""The table of docs/defects.md, written by the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kernel.defects import DEFECTS
from kernel.lab import Caught

Cells = tuple[str, str, str]  # rule, operations, ms


def _cells(caught: Caught, rules: tuple[str, ...]) -> Cells:
    if caught.first is None:
        return "not caught", "", ""
    rule = caught.first.rule
    return rule if rule in rules else f"({rule})", str(caught.operations), str(caught.ms)


def table(alone: Mapping[str, Caught], together: Mapping[str, Caught], before: str) -> str:
    """A row for each defect; what this run did not try stays as it is in the table before."""
    rows = ["| defect | where | what it does | breaks | one thread | operations | ms "
            "| four threads | operations | ms |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    tried: dict[str, list[str]] = {"one thread": [], "four threads": []}
    stood = {line.split("|")[1].split()[0]: [cell.strip() for cell in line.split("|")[5:11]]
             for line in before.splitlines() if line.startswith("| ") and line.count("|") == 11}
    for d in DEFECTS:
        old = stood.get(d.name, ["not tried", "", ""] * 2)
        cells = [*(_cells(alone[d.name], d.rules) if d.name in alone else old[:3]),
                 *(_cells(together[d.name], d.rules) if d.name in together else old[3:])]
        tried["one thread"].append(cells[0])
        tried["four threads"].append(cells[3])
        seed = f" ({d.seed})" if d.seed else ""
        rows.append(" | ".join([f"| {d.name}{seed}", d.where, d.what, ", ".join(d.rules),
                                *cells]) + " |")
    lines = []
    for name, found in tried.items():
        right = sum(cell.startswith("R") for cell in found)
        late = sum(cell.startswith("(") for cell in found)
        count = len(found) - found.count("not tried")
        lines.append(f"{name}: {count} of {len(DEFECTS)} defects tried, {right + late} caught, "
                     f"{right} by a rule that the defect breaks.\n")
    return "\n".join([*lines, *rows])


def write(path: Path, alone: Mapping[str, Caught], together: Mapping[str, Caught]) -> None:
    """Replace what stands between the marks."""
    head, mark, rest = path.read_text().partition("<!-- table -->\n")
    body, end, tail = rest.partition("<!-- end -->")
    path.write_text(f"{head}{mark}{table(alone, together, body)}\n{end}{tail}")
