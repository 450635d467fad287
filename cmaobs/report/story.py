# SPDX-License-Identifier: GPL-2.0
"""A divergence in sentences. From the dicts of report.data; text and HTML say the same."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs.policies import name_of
from cmaobs.report.text import place

Data = Mapping[str, Any]

RULES = {
    "R1": "A release with batch 0 gives the pages to the buddy, then clears their bits.",
    "R2": "A release with batch above 0 defers the pages: one extent at the head of the list.",
    "R3": "A release that gets no memory for its extent gives the pages to the buddy.",
    "R4": "An allocation takes the lowest aligned run of clear bits.",
    "R5": "A hit takes the whole run from one extent; what is left of it stays deferred.",
    "R6": "A miss flushes the whole list to the buddy, then takes the run from there.",
    "R7": "At -EBUSY the search goes on further up; any other error ends the allocation.",
    "R8": "The shrinker's count is defer_count, or SHRINK_EMPTY where that is 0.",
    "R9": "A scan below batch frees nothing; any other frees and returns min(nr, defer_count).",
    "R10": "At rest, defer_count is the sum of the extents' counts.",
    "R11": "At rest, every page is allocated, deferred or free, and in one state only.",
    "R12": "No page has two owners, and none is given to the buddy twice.",
}
_SHOWN_CALLS = 8


def told(one: Data) -> Iterator[str]:
    """Which rule, where, what was expected and seen, and when it showed."""
    yield f"{one['rule']} was broken in area {one['area']}{place(one)}."
    yield f"The rule: {RULES.get(one['rule'], '')}"
    yield f"Expected: {one['expected']}."
    yield f"Observed: {one['observed']}."
    if one["at_rest"]:
        yield (f"It showed at {moment(one['at_ns'])}, when nothing was in flight and the kernel's "
               "own state was compared with what the operations lead to.")
        if not one["operations"]:
            yield "None of the latest 64 operations touched these pages."
        return
    last = one["operations"][-1] if one["operations"] else None
    if last:
        yield (f"It showed at {moment(one['at_ns'])}, in operation {len(one['operations'])} below, "
               f"by {who(last)}.")


def moment(at_ns: int) -> str:
    """A time as the kernel's own messages have it, nearly: they count from boot, too."""
    return f"{at_ns / 1e9:.6f} s of CLOCK_MONOTONIC"


def error(ret: int) -> str:
    """A return value, with the errno's name where it is one."""
    name = errno.errorcode.get(-ret, "") if ret < 0 else ""
    return f"{ret} ({name})" if name else str(ret)


def who(record: Data) -> str:
    """Name, process and thread."""
    return f"{record['comm']} (pid {record['pid']}, tid {record['tid']}, cpu {record['cpu']})"


def run(record: Data) -> str:
    """The pages of an operation or a call."""
    return f"pfn {record['pfn']:#x}+{record['count']}"


def did(record: Data) -> str:
    """An operation, and what came of it."""
    kind, path, count = record["kind"], record["path"], record["count"]
    if kind == "alloc":
        asked = f"cma_alloc of {count} pages" + (
            f", aligned to order {record['align']}," if record["align"] else "")
        came = {"hit": f"a hit, {run(record)} from the deferred list",
                "contig": f"{run(record)} from the buddy",
                "failed": f"failed with {error(record['ret'])}"}
        return f"{asked}: {came.get(path, path)}"
    if kind == "release":
        came = {"deferred": "deferred", "direct": "given to the buddy", "rejected": "rejected"}
        return f"cma_release of {run(record)}: {came.get(path, path)}, returned {record['ret']}"
    if kind == "scan":
        stopped = "SHRINK_STOP" if record["ret"] == -1 else str(record["ret"])
        return (f"the shrinker's scan of {count} pages: {record['free_pages']} freed, returned "
                f"{stopped}")
    if kind == "count":
        return ("the shrinker's count: returned "
                + ("SHRINK_EMPTY" if record["ret"] == -2 else str(record["ret"])))
    if kind == "batch":
        return f"batch was set to {count}: returned {record['ret']}"
    if kind == "policy":
        return f"the policy was set to {name_of(count)}: returned {record['ret']}"
    name = {"contig": "alloc_contig_range", "free": "free_contig_range"}.get(kind, kind)
    return f"{name} of {run(record)}" + (f": {error(record['ret'])}" if kind == "contig" else "")


def steps(op: Data) -> Iterator[str]:
    """The calls inside an operation, and how defer_count changed over it."""
    calls = op["calls"]
    if len(calls) <= _SHOWN_CALLS:
        yield from map(did, calls)
    else:  # the last one is how it ended
        yield from map(did, calls[:_SHOWN_CALLS - 1])
        between = len(calls) - _SHOWN_CALLS
        yield f"{between} more call{'s' * (between > 1)}, and then"
        yield did(calls[-1])
    yield f"defer_count {op['defer_entry']} at entry, {op['defer_exit']} at return"


def state(known: Data) -> Iterator[str]:
    """Totals of the area, and the extents near the pages."""
    totals = ", ".join(f"{count} {name}" for name, count in known["totals"].items())
    counts = [f"{name} {known[name]}" for name in ("defer_count", "batch")
              if known[name] is not None]
    yield f"All of the area, pages: {totals}" + (f"; {', '.join(counts)}" if counts else "") + "."
    if known["listed"] is None:
        yield "The extents were too many to be noted."
        return
    near = ", ".join(f"{where}. {pfn:#x}+{count}" for pfn, count, where in known["extents"][:12])
    more = len(known["extents"]) - 12
    yield (f"Extents {known['listed']}"
           + (f"; drawn are, by place from the head: {near}" if near else ", none of them drawn")
           + (f" and {more} more" if more > 0 else "") + ".")
