# SPDX-License-Identifier: GPL-2.0
"""What is judged when an operation ends, and when a part of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cmaobs.crosscheck import blame, rules, shrinker
from cmaobs.crosscheck.frame import Look
from cmaobs.crosscheck.plan import Flight
from cmaobs.crosscheck.rules import Found, View
from cmaobs.events import Kind, Path

if TYPE_CHECKING:
    from cmaobs.crosscheck.area import Area


def of_look(area: Area, view: View) -> None:
    """A part of an operation is over, at one instant of which it looked at the area."""
    frame = view.frame
    if frame.flight.blind:
        return
    if frame.look is Look.SEARCH:
        _judge(area, frame.flight, rules.search(view))
    elif frame.look is Look.ENTRY:
        _read(area, frame.flight, rules.at_entry, view)
    elif frame.look is Look.RETURN:
        _read(area, frame.flight, rules.at_return, view)
    elif not area.policy.merge:
        _judge(area, frame.flight, shrinker.taken(view, frame.pieces))


def of_operation(area: Area, view: View) -> None:
    """An operation is over: check it, and count it as decided or not."""
    flight = view.frame.flight
    record = flight.operation.record
    area.pending -= 1
    area.ended += 1
    area.batch.end(view.frame)
    if record.kind == Kind.ALLOC:
        if record.path == Path.FAILED:
            area.refused += record.count
            if record.count > area.facts.count:
                area.oversize += record.count
        else:
            area.granted += record.count
    area.recent.append(flight.operation)
    if flight.blind:
        area.undecided[area.reason or "too many operations overlapped"] += 1
        return
    _check(area, view, flight)
    if not flight.operation.calls:
        _read(area, flight, rules.at_entry, view)
        _read(area, flight, rules.at_return, view)
    _read(area, flight, rules.counted, view)
    if area.known:
        area.decided += 1
        area.unsure += 1
    else:
        area.undecided[area.reason or "state not yet learned"] += 1


def _check(area: Area, view: View, flight: Flight) -> None:
    record = flight.operation.record
    if flight.fault:
        rule, expected, observed = flight.fault
        area.diverge(rule, 0, expected, observed, flight)
    empty = [call for call in flight.operation.calls
             if call.kind == Kind.FREE and not call.count]
    if record.kind == Kind.RELEASE and not record.count:
        area.empty_released = True
    elif empty and not area.empty_released and area.known:
        area.diverge("R5", 0, "no empty extent", f"pfn {empty[0].pfn:#x}+0 freed", flight)
    if record.kind == Kind.RELEASE:
        _judge(area, flight, rules.release(view))
        if record.path == Path.DIRECT and view.frame.batches and 0 not in view.frame.batches:
            area.direct_while_on += 1
    elif record.kind == Kind.SCAN:
        _judge(area, flight, shrinker.scan(view, view.frame.pieces))
    elif record.kind == Kind.BATCH:
        _judge(area, flight, shrinker.batch(view))


def _read(area: Area, flight: Flight, check: Callable[[View, int], Iterable[Found]],
          view: View) -> None:
    """defer_count, as the operation's probes read it."""
    if area.drift is None or not area.counts_defer:
        return
    for rule, _, expected, observed in check(view, area.drift):
        area.diverge(rule, 0, expected, observed, flight)
        if rule != "R8":
            area.drift = None  # until the next snapshot at rest


def _judge(area: Area, flight: Flight, findings: Iterable[Found]) -> None:
    for rule, pages, expected, observed in findings:
        area.diverge(blame.of_search(area, rule, pages), pages, expected, observed, flight)
