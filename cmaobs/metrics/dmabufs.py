# SPDX-License-Identifier: GPL-2.0
"""Samples of dma-bufs and of who holds them, in a bounded number of series. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cmaobs.state import Latency
from cmaobs.view import View

Sample = tuple[str, tuple[str, ...], float | Latency]

TOP = 20  # names of processes that have gauges of their own
KERNEL = "(kernel)"  # in place of a process
NO_AREA = "none"


def samples(view: View) -> Iterator[Sample]:
    """cma_dmabuf*; nothing where dma-bufs are not looked up."""
    if view.buffers is None:
        return
    number: Counter[str] = Counter({facts.name: 0 for facts in view.areas})
    size: Counter[str] = Counter(dict(number))
    held: Counter[tuple[str, str]] = Counter()
    for one in view.buffers.found:
        area = one.area or NO_AREA
        number[area] += 1
        size[area] += one.size
        for name in {use.comm for use in one.uses} or {KERNEL}:
            held[area, name] += one.size
    for area in number:
        yield "cma_dmabufs", (area,), number[area]
        yield "cma_dmabuf_bytes", (area,), size[area]
    most_first = sorted(held.items(), key=lambda one: (-one[1], one[0]))
    rest: Counter[str] = Counter()
    for (area, _), bytes_ in most_first[TOP:]:
        rest[area] += bytes_
    for (area, name), bytes_ in (*most_first[:TOP],
                                 *(((area, "other"), sum_) for area, sum_ in rest.items())):
        yield "cma_dmabuf_held_bytes", (area, name), bytes_
    yield "cmaobs_dmabuf_unreadable_processes", (), view.buffers.unreadable
