# SPDX-License-Identifier: GPL-2.0
"""What the cross-check says: agree, diverge or unknown. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from cmaobs.events import Operation
from cmaobs.state import Run


class Outcome(Enum):
    """The three verdicts; the value is the exit status of ``check``."""

    AGREE = 0
    DIVERGE = 1
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of an area at one moment: in a window around some pages, and in total.

    window: first pfn and pages. allocated, deferred, free, unknown: runs of pages in the window,
    ascending; unknown are those that an operation in flight touched, and those of which more
    than one state was possible. extents: (first pfn, pages, place in the list, the head is 1) of
    those that reach into the window, newest first as far as that is certain. listed: extents in
    all; None where they were too many to note. totals: pages of the whole area by state.
    defer_count, batch: None where not known.
    """

    window: Run
    allocated: tuple[Run, ...]
    deferred: tuple[Run, ...]
    free: tuple[Run, ...]
    unknown: tuple[Run, ...]
    extents: tuple[tuple[int, int, int], ...]
    listed: int | None
    totals: Mapping[str, int]
    defer_count: int | None
    batch: int | None


@dataclass(frozen=True, slots=True)
class Divergence:
    """One thing that no lawful order of the operations explains.

    rule: R1 to R12 of the mechanism's rules.
    area: name. pages: runs concerned. at_ns: when it was certain.
    expected, observed: one phrase each, with numbers and units.
    operations: those that led there, oldest first. at_rest: a snapshot at rest shows it;
    otherwise the last operation does. before: what was known when that operation began, or before
    the snapshot. after: before, with what the operation is recorded to have done, or the snapshot.
    evidence: the file that holds it, once there is one.
    """

    rule: str
    area: str
    at_ns: int
    pages: tuple[Run, ...]
    expected: str
    observed: str
    operations: tuple[Operation, ...] = ()
    at_rest: bool = False
    before: Known | None = None
    after: Known | None = None
    evidence: str = ""

    def __str__(self) -> str:
        where = ", ".join(f"pfn {pfn:#x}+{count}" for pfn, count in self.pages)
        return (f"{self.rule}: area {self.area}{': ' + where if where else ''}: "
                f"expected {self.expected}, observed {self.observed}")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of one area was decided, so that agreement can be weighed.

    operations: seen. decided: compared with the model and settled.
    undecided: seen, but not settled, by reason (undecided operations have
    exactly one reason). rests: snapshots compared page by page at rest.
    last_rest_ns: 0 if there was none. torn: snapshots compared while operations were in flight,
    bit by bit as far as they left them alone. longest_ns: the longest time between two comparisons
    in which there were operations, and why it was not shorter.
    """

    area: str
    operations: int = 0
    decided: int = 0
    undecided: Mapping[str, int] = field(default_factory=dict)
    rests: int = 0
    last_rest_ns: int = 0
    torn: int = 0
    longest_ns: int = 0
    longest_why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cross-check's answer so far.

    outcome: DIVERGE where there is a divergence; else UNKNOWN where reasons
    is not empty; else AGREE. reasons: why not everything is known, one line
    each. divergences: roots, oldest first. A root is the first divergence of an area since it
    was last compared at rest. following: divergences that came after a root and before the next
    such comparison, so that they may follow from it.
    by_rule: divergences counted, those that are not listed included.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    divergences: tuple[Divergence, ...]
    by_rule: Mapping[str, int]
    coverage: tuple[Coverage, ...]
    following: int = 0
