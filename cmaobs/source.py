# SPDX-License-Identifier: GPL-2.0
"""Where observations come from: a live kernel or a recording. Types only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cmaobs.state import AreaFacts, Reading


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order in which they were sent.

    data: whole structs cmaobs_record. phased: whole structs cmaobs_phased, where phases are asked
    for, of allocations of this batch or the one before.
    watermark_ns: every operation that began before this time has ended, and
    its record is in this batch or an earlier one, unless it was lost.
    """

    data: bytes
    watermark_ns: int
    phased: bytes = b""


class Source(Protocol):
    """A live session or a recording, stepped by cmaobs.observe."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What was observed: release, machine, attach, clocksource, patched (yes/no), ..."""

    @property
    def areas(self) -> tuple[AreaFacts, ...]:
        """Every area of the kernel, in the order of cma_areas[]."""

    def steps(self) -> Iterator[Batch | Reading]:
        """Batches and readings in the order in which they were made."""

    def close(self) -> None:
        """Detach or close; may be called twice."""


@runtime_checkable
class Finishes(Protocol):
    """A source that has something to say after its steps() were left."""

    def finish(self) -> Iterator[Batch | Reading]:
        """The last steps."""
