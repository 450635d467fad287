# SPDX-License-Identifier: GPL-2.0
"""What fleet says, drawn as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmaobs.report.text import clean
from cmaobs.report.whatif_text import table

Rows = Sequence[Mapping[str, Any]]


def draw(data: Mapping[str, Rows]) -> str:
    """The answers for people."""
    (whole,) = data["whole"]
    lines = [f"{whole['devices']} devices, {whole['days']} days of a device, "
             f"{whole['recordings']} recordings", ""]
    lines += table([("device", "policy", "batch", "allocations", "hits", "gains", "open", "loses",
                     "withheld"), *_devices(data["devices"])])
    lines += ["", *table([("kernel", "policy", "batch", "devices", "allocations", "hits", "gains",
                           "loses"), *_kernels(data["kernels"])])]
    lines += ["", *table([("caller", "devices", "allocations", "pages", "failed", "in cma_alloc",
                           "share"), *_callers(data["callers"])])]
    if data["left_out"]:
        lines += ["", *table([("left out or mended", "devices", "recordings", "times"),
                              *_left_out(data["left_out"])])]
    lines += ["", "gains, open, loses: recordings (of a kernel: their share) whose p99 of",
              "cma_alloc, or else p50, would be less, neither, or more than without deferral,",
              "beyond both 95 % intervals. hits: of the allocations granted. withheld: pages on",
              "average."]
    return clean(lines)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _devices(rows: Rows) -> Iterator[tuple[str, ...]]:
    for one in rows:
        yield (one["device"], one["policy"], str(one["batch"]), str(one["allocations"]),
               _ratio(one["hit_ratio"]), str(one["gains"]), str(one["open"]), str(one["loses"]),
               f"{one['withheld_pages']:.0f}")


def _kernels(rows: Rows) -> Iterator[tuple[str, ...]]:
    for one in rows:
        yield (one["kernel"], one["policy"], str(one["batch"]), str(one["devices"]),
               str(one["allocations"]), _ratio(one["hit_ratio"]), f"{one['gains']:.0%}",
               f"{one['loses']:.0%}")


def _callers(rows: Rows) -> Iterator[tuple[str, ...]]:
    for one in rows:
        yield (one["comm"], str(one["devices"]), str(one["allocations"]), str(one["pages"]),
               str(one["failed"]), f"{one['seconds']:.3g} s", f"{one['share'] or 0:.0%}")


def _left_out(rows: Rows) -> Iterator[tuple[str, ...]]:
    for one in rows:
        yield one["what"], str(one["devices"]), str(one["recordings"]), str(one["times"])
