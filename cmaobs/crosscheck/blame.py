# SPDX-License-Identifier: GPL-2.0
"""By which rule a divergence is told, and which operations led there. Read only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from cmaobs.crosscheck import rules
from cmaobs.crosscheck.frame import ALLOCATED, DEFERRED, FREE, Step
from cmaobs.crosscheck.plan import Flight, pages_of
from cmaobs.events import Kind, Operation, Path
from cmaobs.state import AreaFacts

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area


def of_step(step: Step, state: int) -> str:
    """The rule that a step breaks whose pages were in another state."""
    if step.frm == DEFERRED and step.to != DEFERRED and state != DEFERRED:
        hit = step.flight.operation.record.path == Path.HIT
        return "R5" if hit and state == FREE else "R12"
    return "R6" if step.frm == FREE and state == DEFERRED else "R12"


def of_search(area: Area, rule: str, pages: int) -> str:
    """The rule behind what a search found wrong: of bits, that of who left them so."""
    if rule != "R4":
        return rule
    owned = pages & area.pages.may[ALLOCATED] & ~area.pages.unknown
    if owned:
        return cleared(area, owned)
    return "R7" if kept(area, pages, rule) == "R7" else rule


def cleared(area: Area, pages: int) -> str:
    """The rule that kept the bits of allocated pages set: R6 where a flush freed the pages.

    The last that did, or else whoever took them, counts; a scan that did breaks R4.
    """
    for operation in latest(area):
        record = operation.record
        calls = {kind: rules.freed(area.facts, [c for c in operation.calls if c.kind == kind])
                 for kind in (Kind.FREE, Kind.CONTIG)}
        if calls[Kind.FREE] & pages:
            return "R4" if record.kind == Kind.SCAN else "R6"
        if record.kind == Kind.ALLOC and (run_of(area, operation) | calls[Kind.CONTIG]) & pages:
            break
    return "R4"


class Root(NamedTuple):
    """Operations that may have left these pages as they were found, and the rule against it."""

    pages: int
    rule: str
    operations: tuple[Operation, ...]


def keepers(area: Area, pages: int) -> Iterator[Root]:
    """Who had the bits of the pages last and was to clear them: a release, or a try in vain.

    The latest first, each with the pages that no later one had.
    """
    for operation in latest(area):
        record = operation.record
        own = run_of(area, operation) & pages
        if tried := failed_tries(area, operation) & pages:
            yield Root(tried, "R7", (operation,))
        if own and record.kind == Kind.RELEASE:
            yield Root(own, "R2" if record.path == Path.DEFERRED else "R1", (operation,))
        pages &= ~(own | tried)


def kept(area: Area, pages: int, rule: str) -> str:
    """The rule that kept bits set; as it was where nobody is known who was to clear them."""
    return next((root.rule for root in keepers(area, pages)), rule)


def concerned(area: Area, pages: int, flight: Flight | None,
              flights: list[Flight]) -> tuple[Operation, ...]:
    """Operations that touched the pages, or else the operation's own; its own comes last.

    flights: in flight now.
    """
    facts = area.facts
    if flight is None:
        return tuple(op for op in latest(area) if _touches(facts, op, pages))[7::-1]
    own = flight.operation
    pages = pages or rules.freed(facts, [*own.calls, own.record])
    others = [op for op in latest(area) if op is not own and _touches(facts, op, pages)][3::-1]
    others += [other.operation for other in flights if other is not flight
               and _touches(facts, other.operation, pages)][:3]
    return (*others, own)


def latest(area: Area) -> list[Operation]:
    """Operations explained or judged last, the last one to end first."""
    explained = area.ride.recent() if area.ride is not None else []
    return sorted([*explained, *area.recent],
                  key=lambda operation: operation.record.end_ns)[::-1]


def failed_tries(area: Area, operation: Operation) -> int:
    """Pages that alloc_contig_range() refused it, those aside that it was granted later."""
    tried = [call for call in operation.calls if call.kind == Kind.CONTIG and call.ret]
    return rules.freed(area.facts, tried) & ~run_of(area, operation)


def run_of(area: Area, operation: Operation) -> int:
    """Pages that it gave to its caller, or took back."""
    record = operation.record
    moved = (record.kind in (Kind.ALLOC, Kind.RELEASE)
             and record.path not in (Path.FAILED, Path.REJECTED))
    return pages_of(area.facts, record.pfn, record.count) if moved else 0


def _touches(facts: AreaFacts, operation: Operation, pages: int) -> bool:
    return bool(rules.freed(facts, [*operation.calls, operation.record]) & pages)
