# SPDX-License-Identifier: GPL-2.0
"""An area as cells of pages by state, in a bounded number of runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cmaobs.state import AreaState, Run

STATES = ("free", "allocated", "deferred", "both", "mixed", "outside")
"""of a cell: both is allocated and deferred at once or on the list twice, which a kernel at rest
must not show; mixed is one of several pages that are not in one state; outside lies between the
ranges of an area that has several.
"""
FREE, ALLOCATED, DEFERRED, BOTH, MIXED, OUTSIDE = range(len(STATES))
RUNS = 2048
CELLS = 1 << 16

Cells = tuple[int, int]
"""A state and how many cells in a row are in it."""


def cells(state: AreaState, most_runs: int = RUNS, most_cells: int = CELLS) -> dict[str, Any]:
    """{"pages_per_cell": ..., "span": pages, "runs": [[state, cells], ...]}; exact where it is 1.

    As fine as the limits allow. The last cell may be of fewer pages.
    """
    scale, runs, count = 1, list(_pages(state)), state.facts.span
    while len(runs) > most_runs or count > most_cells:
        scale, runs, count = 2 * scale, list(_halved(runs)), -(-count // 2)
    return {"pages_per_cell": scale, "span": state.facts.span, "runs": [list(run) for run in runs]}


def _pages(state: AreaState) -> Iterator[Cells]:
    """Runs of pages by state, from the first page to the last."""
    edges = sorted([*_edges(state.allocated, 0), *_edges(state.extents or (), 1),
                    *_edges(state.facts.runs, 2)])
    at, depth = state.facts.base_pfn, [0, 0, 0]
    end = at + state.facts.span
    last, length = FREE, 0
    for pfn, kind, step in (*edges, (end, 0, 0)):
        if pfn > at:
            now = OUTSIDE if not depth[2] else BOTH if depth[0] + depth[1] > 1 else (
                ALLOCATED if depth[0] else DEFERRED if depth[1] else FREE)
            if now != last and length:
                yield last, length
                length = 0
            last, length, at = now, length + pfn - at, pfn
        depth[kind] += step
    if length:
        yield last, length


def _edges(runs: Iterable[Run], kind: int) -> Iterator[tuple[int, int, int]]:
    for pfn, pages in runs:
        yield pfn, kind, 1
        yield pfn + pages, kind, -1


def _halved(runs: Iterable[Cells]) -> Iterator[Cells]:
    """Two cells as one."""
    last, length = FREE, 0
    for state, cells_ in _paired(runs):
        if state != last and length:
            yield last, length
            length = 0
        last, length = state, length + cells_
    if length:
        yield last, length


def _paired(runs: Iterable[Cells]) -> Iterator[Cells]:
    waiting: int | None = None  # the state of a first half
    for state, cells_ in runs:
        left = cells_
        if waiting is not None:
            yield state if state == waiting else MIXED, 1
            waiting, left = None, left - 1
        if left > 1:
            yield state, left // 2
        if left % 2:
            waiting = state
    if waiting is not None:
        yield waiting, 1
