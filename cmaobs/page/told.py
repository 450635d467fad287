# SPDX-License-Identifier: GPL-2.0
"""A divergence as sentences, rows of pages and bars of time, ready for JSON. Pure.

The telling and the drawing are those of `explain`: see cmaobs/report/story.py and picture.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmaobs.report import picture, story
from cmaobs.report.data import Stacks, divergence
from cmaobs.verdict import Divergence

Data = Mapping[str, Any]


def told(found: Divergence, stacks: Stacks) -> dict[str, Any]:
    """All of it; states of cells are those of picture.STATES, or mixed."""
    one = divergence(found, stacks)
    titles = (("before", "By the operations"), ("after", "In the kernel")) if one["at_rest"] else (
        ("before", "Before"), ("after", "After, as recorded"))
    return {
        "rule": one["rule"], "area": one["area"], "at_ns": one["at_ns"],
        "evidence": one["evidence"], "told": list(story.told(one)),
        "pages": [{"title": title, **_pages(one[key], one["pages"])}
                  for key, title in titles if one[key]],
        "operations": [{"who": story.who(op), "did": story.did(op), "steps": list(story.steps(op)),
                        "stack": op["stack"]} for op in one["operations"]],
        "time_line": _time_line(one) if one["operations"] else None}


def _pages(known: Data, concerned: list[list[int]]) -> dict[str, Any]:
    rows = picture.rows(known, concerned)
    return {"pages_per_cell": rows[0].pages if rows else 1,
            "rows": [{"pfn": row.pfn, "states": row.states, "concerned": row.concerned}
                     for row in rows],
            "told": list(story.state(known))}


def _time_line(one: Data) -> dict[str, Any]:
    line = picture.time_line(one)
    return {"columns": line.columns, "noticed": line.noticed,
            "bars": [{"number": bar.number, "did": story.did(bar.record), "first": bar.first,
                      "last": bar.last, "at_us": bar.at_us} for bar in line.bars]}
