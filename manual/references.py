# SPDX-License-Identifier: GPL-2.0
"""Tables of references, in Markdown: from probes/wire.h and from the columns of exports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmaobs import wire
from cmaobs.export import tables
from cmaobs.export.tracks import AREA_COUNTERS

_SHOWN = ("cmaobs_record", "cmaobs_phased", "cmaobs_counters", "cmaobs_moved", "cmaobs_losses")
_ENUMS = ("cmaobs_kind", "cmaobs_path", "cmaobs_phase", "cmaobs_flag")
_TYPES = {"name": "string"}


def export() -> str:
    """Counters of a trace, and every table with its columns."""
    lines = ["### Counters of an area in a Perfetto trace", "| counter | unit | meaning |",
             "|---|---|---|",
             *(f"| `{name}` | {unit} | {meaning} |" for name, unit, meaning in AREA_COUNTERS)]
    for table, columns in tables.COLUMNS.items():
        lines += ["", f"### {table}.parquet", "| column | type | unit | meaning |",
                  "|---|---|---|---|"]
        lines += [f"| `{one.name}` | {_TYPES.get(one.type, one.type)} | {one.unit} | "
                  f"{one.meaning} |" for one in columns]
    return "\n".join(lines)


def wire_structs() -> Iterator[str]:
    """A table for each struct that leaves the kernel as it is."""
    for name in _SHOWN:
        layout = wire.Layout(name)
        comments = dict(_members(name))
        if tuple(comments) != layout.fields:
            raise ValueError(f"members of {name} were not found as the compiler lays them out")
        yield f"### struct {name}: {layout.size} bytes"
        yield "| offset | member | meaning |"
        yield "|---|---|---|"
        for member in layout.fields:
            yield f"| {wire.offset(name, member)} | `{member}` | {comments[member]} |"
        yield ""


def wire_enums() -> Iterator[str]:
    """A table for each enum whose values are in records."""
    for name in _ENUMS:
        yield f"### enum {name}"
        yield "| value | name | meaning |"
        yield "|---|---|---|"
        for member, comment in _lines(rf"enum {name} {{(.*?)\n}};", r"(\w+) = \d+"):
            yield f"| {wire.constant(member)} | `{member}` | {comment} |"
        yield ""


def wire_reference() -> str:
    """Enums and structs of probes/wire.h."""
    return "\n".join([*wire_enums(), *wire_structs()]).rstrip("\n")


def _members(struct: str) -> Iterator[tuple[str, str]]:
    yield from _lines(rf"struct {struct} {{(.*?)\n}};", r"\w+ (\w+)(?:\[\d+\])?;")


def _lines(block: str, member: str) -> Iterator[tuple[str, str]]:
    """Names and their comments, in the block of wire.h."""
    found = re.search(block, wire.header_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"no {block} in wire.h")
    for line in found[1].splitlines():
        match = re.match(rf"\s*{member},?\s*(?:/\* (.*?)(?: \*/)?)?\s*$", line)
        if match:
            yield match[1], match[2] or ""
        elif re.match(r"\s*\w", line):
            raise ValueError(f"not understood in wire.h: {line}")
