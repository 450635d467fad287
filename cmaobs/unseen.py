# SPDX-License-Identifier: GPL-2.0
"""Gaps where a kernel gives deferred pages back through functions that have no probes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cmaobs.history import Gap
from cmaobs.state import Reading


class Unseen:
    """functions: what a source's identity says has no probe: scan, batch, both, or nothing.

    Without a probe on scan, pages may leave the list at any time. Without one on batch they
    may when it becomes 0: a change that is undone before the next reading is not noticed.
    """

    def __init__(self, functions: str) -> None:
        self._functions = functions.split(",") if functions else []
        self._deferring: set[int] = set()  # areas that have deferred, by index
        self._batch: dict[int, int | None] = {}

    def gaps(self, reading: Reading) -> Iterator[Gap]:
        """For each area in which pages may have left the list since the reading before."""
        for state in reading.states if self._functions else ():
            index = state.facts.index
            before = self._batch.get(index, state.batch)
            self._batch[index] = state.batch
            if state.batch or state.defer_count:
                self._deferring.add(index)
            if "scan" in self._functions and index in self._deferring:
                yield Gap("this kernel's scans have no probe", reading.time_ns, index)
            elif "batch" in self._functions and state.batch != before:
                yield Gap("batch was changed, which has no probe", reading.time_ns, index)
