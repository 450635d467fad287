# SPDX-License-Identifier: GPL-2.0
"""By which rule a divergence is told, and which operations led there. Read only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmaobs.crosscheck import rules
from cmaobs.crosscheck.plan import ALLOCATED, DEFERRED, FREE, Flight, Step
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
    return cleared(area, owned) if owned else kept(area, pages, rule)


def cleared(area: Area, pages: int) -> str:
    """The rule that kept the bits of allocated pages set, by who took the pages last."""
    for operation in reversed(_lately(area)):
        record = operation.record
        tried = [call for call in operation.calls if call.kind == Kind.CONTIG]
        if record.kind == Kind.ALLOC and rules.freed(area.facts, [record, *tried]) & pages:
            flushed = any(call.kind == Kind.FREE for call in operation.calls)
            return "R6" if flushed else "R4"
    return "R4"


def kept(area: Area, pages: int, rule: str) -> str:
    """The rule that kept bits set: R7 where a try that failed was the last to set them."""
    for operation in reversed(_lately(area)):
        if pages and _touches(area.facts, operation, pages):
            record = operation.record
            tried = [call for call in operation.calls if call.kind == Kind.CONTIG and call.ret]
            failed = rules.freed(area.facts, tried)
            if record.path != Path.FAILED:
                failed &= ~rules.freed(area.facts, [record])
            return "R7" if record.kind == Kind.ALLOC and failed & pages else rule
    return rule


def concerned(area: Area, pages: int, flight: Flight | None,
              flights: list[Flight]) -> tuple[Operation, ...]:
    """Operations that touched the pages, or else the operation's own; its own comes last.

    flights: in flight now.
    """
    facts = area.facts
    if flight is None:
        return tuple(op for op in _lately(area) if _touches(facts, op, pages))[-8:]
    own = flight.operation
    pages = pages or rules.freed(facts, [*own.calls, own.record])
    others = [op for op in _lately(area) if op is not own and _touches(facts, op, pages)][-4:]
    others += [other.operation for other in flights if other is not flight
               and _touches(facts, other.operation, pages)][:3]
    return (*others, own)


def _lately(area: Area) -> list[Operation]:
    """Operations explained or judged last, by their ends."""
    explained = area.ride.recent() if area.ride is not None else []
    return sorted([*explained, *area.recent], key=lambda operation: operation.record.end_ns)


def _touches(facts: AreaFacts, operation: Operation, pages: int) -> bool:
    return bool(rules.freed(facts, [*operation.calls, operation.record]) & pages)
