# SPDX-License-Identifier: GPL-2.0
"""Why allocations failed in an area: data, and the lines drawn from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs import why
from cmaobs.state import AreaFacts
from cmaobs.view import View

Data = Mapping[str, Any]

_SHOWN = 4


def failed(view: View, facts: AreaFacts) -> dict[str, Any]:
    """One area: failures by cause, allocations that tried several places, the latest failures.

    Nothing where no failure was seen, and nothing was tried again.
    """
    data: dict[str, Any] = {}
    causes = {cause: count for cause, count in view.causes.get(facts.index, {}).items() if count}
    if causes:
        data["failure_causes"] = causes
        data["latest_failures"] = [one.data() for one in view.failures if one.area == facts.name]
    counts = view.counts(facts.name)
    if counts is not None and counts.counters.get("allocs_retried"):
        data["retried"] = counts.counters["allocs_retried"]
        data["retries"] = counts.counters["alloc_retries"]
    return data


def lines(area: Data) -> Iterator[str]:
    """The failures of one area of a report."""
    if "failure_causes" in area:
        yield "  failures     " + ", ".join(f"{count} {cause}" for cause, count
                                            in area["failure_causes"].items())
        latest = area["latest_failures"]
        for one in latest[-_SHOWN:]:
            yield f"    {one['cause']}: {one['told']}; {one['comm']}[{one['pid']}]"
            if one["busy"]:
                yield f"      {why.page_told(one['busy'][-1])}"
        if len(latest) > _SHOWN:
            yield f"    {len(latest) - _SHOWN} before these; --json has them"
    if "retried" in area:
        yield (f"  retries      {area['retried']} allocation{'s' * (area['retried'] > 1)} tried "
               f"{area['retries']} place{'s' * (area['retries'] > 1)} beyond the first")
