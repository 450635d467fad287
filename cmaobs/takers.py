# SPDX-License-Identifier: GPL-2.0
"""What cmaobs.observe hands the steps of a source to. Types only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cmaobs.events import Operation
from cmaobs.source import Batch
from cmaobs.state import AreaState, Reading
from cmaobs.verdict import Verdict


class Checks(Protocol):
    """What the observer needs of cmaobs.crosscheck.Checker."""

    def feed(self, data: bytes) -> bool:
        """Raw records, if it takes such; else they, and those of calls(), are joined and pushed."""

    def calls(self) -> bytes:
        """Records of calls that were fed, and whose operations were not."""

    def counts(self, area: int) -> Mapping[str, int]:
        """Of what was fed, by the member names of struct cmaobs_counters."""

    def push(self, operation: Operation) -> None:
        """An operation, with its calls."""

    def advance(self, watermark_ns: int) -> None:
        """Whatever began before has been pushed."""

    def observe(self, state: AreaState) -> None:
        """A snapshot."""

    def gap(self, reason: str, at_ns: int, area: int | None = None) -> None:
        """Something was lost that had ended by at_ns."""

    def end(self) -> None:
        """No more will come."""

    def verdict(self) -> Verdict:
        """The answer so far."""


class Keeps(Protocol):
    """What the observer needs of cmaobs.evidence.Keeper."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be kept, one line each."""

    def add(self, step: Batch | Reading) -> None:
        """A step, before anything else has it."""

    def told(self, verdict: Verdict, reading: Reading) -> None:
        """What the cross-check says after the reading, the last step added."""

    def named(self, verdict: Verdict) -> Verdict:
        """The verdict, its divergences with the files that hold them."""


class Records(Protocol):
    """What the observer needs of a recording."""

    def add(self, step: Batch | Reading) -> None:
        """A step, before anything else has it."""
