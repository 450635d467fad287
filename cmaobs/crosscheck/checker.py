# SPDX-License-Identifier: GPL-2.0
"""All areas together, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cmaobs import lane
from cmaobs.crosscheck.area import Area
from cmaobs.crosscheck.suspicion import Suspicions
from cmaobs.events import Operation
from cmaobs.lane import Lane
from cmaobs.model import RFC, Policy
from cmaobs.state import AreaFacts, AreaState
from cmaobs.verdict import Coverage, Divergence, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Limits:
    """settle_ns: for so long after the first operation, what was in flight at attach may
    still come to light, where the source does not know better. divergences: kept in full; the
    rest is counted. overlapping: operations of which the fast lane looks for one order.
    """

    settle_ns: int = 1_000_000_000
    divergences: int = 16
    overlapping: int = 32_768


class Checker:
    """Push operations, advance the watermark, observe snapshots, ask for the verdict.

    The order of calls is the order in which the source made them. Losses
    are told by gap() before the snapshots of the reading that showed them.
    """

    def __init__(self, areas: Sequence[AreaFacts], policy: Policy = RFC,
                 limits: Limits | None = None, batch_probed: bool = True,
                 settled_ns: int | None = None, attached_ns: int = 0,
                 policy_probed: bool | None = None) -> None:
        """batch_probed: whether every change of batch comes as an operation. policy_probed: the
        same for an area's policy; None: there is none to be written.

        attached_ns: when what was in flight at attach was over, or told as a loss since; what began
        before is not judged. 0: not known. settled_ns: when it had come to light, where that is
        known.

        Areas of several ranges are not judged: the rules are written for one.
        """
        self._limits = limits or Limits()
        self._facts = tuple(areas)
        self._several: Counter[int] = Counter({one.index: 0 for one in areas if one.ranges})
        self._lane = (None if lane.missing() or self._several
                      else Lane(areas, self._limits.overlapping))
        self._areas: dict[int, Area] = {}
        self._suspicions = Suspicions(self._areas, self._limits.divergences)
        self._areas |= {facts.index: Area(facts, policy, self._suspect, self._void,
                                          self._suspicions.retell, self._lane, policy_probed)
                        for facts in areas if not facts.ranges}
        for area in self._areas.values():
            area.batch.probed = batch_probed
            if attached_ns:
                area.blind("in flight while the observer attached", attached_ns)
        self._watermark = 0
        self.settled_ns = settled_ns
        if settled_ns is None and attached_ns:
            self.settled_ns = attached_ns
        self._gaps: Counter[str] = Counter()
        self._elsewhere = 0
        self._torn = 0

    def feed(self, data: bytes) -> bool:
        """Raw records as they came, instead of push(). False: they, and those of calls(), must
        be joined first and pushed; no feed() until no call waits for its operation then.
        """
        if self._lane is None or not self._lane.feed(data):
            return False
        if self.settled_ns is None and (first := self._lane.first_ns) is not None:
            self.settled_ns = first + self._limits.settle_ns
        return True

    def calls(self) -> bytes:
        """Records of calls that were fed, and whose operations were not."""
        return self._lane.calls() if self._lane is not None else b""

    def counts(self, area: int) -> Mapping[str, int]:
        """Of what was fed, by the member names of struct cmaobs_counters."""
        return self._lane.counts(area) if self._lane is not None else {}

    def push(self, operation: Operation) -> None:
        """An operation; it is judged once the watermark has passed its end."""
        record = operation.record
        if self.settled_ns is None:
            self.settled_ns = record.start_ns + self._limits.settle_ns
        area = self._areas.get(record.area)
        if record.area in self._several:
            self._several[record.area] += 1
        elif area is None:
            self._elsewhere += 1
        else:
            area.add(operation, self._watermark)

    def advance(self, watermark_ns: int) -> None:
        """Every operation that began before watermark_ns was pushed."""
        if watermark_ns > self._watermark:
            self._watermark = watermark_ns
            for area in self._areas.values():
                area.sweep(watermark_ns)
            if self._lane is not None:
                self._lane.passed(watermark_ns)
            self._suspicions.confirm()

    def observe(self, state: AreaState) -> None:
        """A snapshot of one area: compared, and what it shows may confirm suspicions."""
        area = self._areas.get(state.facts.index)
        if area is None:
            return
        if self.settled_ns is not None and state.start_ns >= self.settled_ns:
            area.clean_ns = max(area.clean_ns, min(state.start_ns, self._watermark))
            if area.clean_ns >= area.now:
                area.unsure = 0
        self._torn += not state.at_rest
        if state.fault:
            area.pace.passed_over(state.fault)
        else:
            area.observe(state)
            area.sweep(self._watermark)
        self._suspicions.confirm()

    def gap(self, reason: str, at_ns: int, area: int | None = None) -> None:
        """Something about the time up to at_ns was not seen; area None: in any area."""
        for index, each in self._areas.items():
            if area is None or area == index:
                each.gap(reason, at_ns)

    def end(self) -> None:
        """No more will come: what waits for its root is told as it is."""
        self._suspicions.confirm(ended=True)

    def verdict(self) -> Verdict:
        """The answer so far."""
        reasons = [reason for area in self._areas.values() for reason in _open(area)]
        reasons += [f"area {facts.name}: it has several ranges, and the rules are for one"
                    for facts in self._facts if self._several[facts.index]]
        if (first := self._suspicions.first) is not None:
            reasons.append(f"not yet confirmed by a reading without loss: {first}")
        if not reasons and not any(area.decided for area in self._areas.values()):
            reasons.append("no operation was decided")
        outcome = (Outcome.DIVERGE if self._suspicions.confirmed
                   else Outcome.UNKNOWN if reasons else Outcome.AGREE)
        roots = sorted(self._suspicions.confirmed, key=lambda divergence: divergence.at_ns)
        return Verdict(outcome, tuple(reasons), tuple(roots), dict(self._suspicions.by_rule),
                       tuple(map(self._coverage, self._facts)),
                       self._suspicions.following)

    def batch_probed(self, name: str) -> bool:
        """Whether every change of the area's batch came as an operation, as far as was seen."""
        return all(area.batch.probed for area in self._areas.values() if area.facts.name == name)

    @property
    def stats(self) -> Mapping[str, int]:
        """Counters of the checker's own doings."""
        areas = self._areas.values()
        return {
            "direct_while_on": sum(area.direct_while_on for area in areas),
            "gaps": sum(self._gaps.values()),
            "explained": sum(area.ride.explained for area in areas if area.ride is not None),
            "explained_overlapping": sum(area.ride.crowded for area in areas
                                         if area.ride is not None),
            "operations_elsewhere": self._elsewhere + (self._lane.elsewhere if self._lane else 0),
            "orders_out_of_budget": sum(area.pages.overrun for area in areas),
            "snapshots_not_at_rest": self._torn,
            "suspicions": len(self._suspicions),
        }

    @property
    def gaps(self) -> Mapping[str, int]:
        """Gaps by reason, one for each area concerned."""
        return self._gaps

    def _coverage(self, facts: AreaFacts) -> Coverage:
        if facts.index in self._areas:
            return _coverage(self._areas[facts.index])
        seen = self._several[facts.index]
        return Coverage(facts.name, seen, 0, {"of several ranges": seen} if seen else {})

    def _suspect(self, facts: AreaFacts, divergence: Divergence, at_rest: bool) -> None:
        if at_rest and self._suspicions.contradicts_a_snapshot(facts.index, divergence):
            self._areas[facts.index].gap("pages changed without an operation", divergence.at_ns)
            return
        self._suspicions.add(facts.index, divergence, at_rest)

    def _void(self, facts: AreaFacts, reason: str) -> None:
        self._gaps[reason] += 1
        self._suspicions.drop(facts.index)


def _open(area: Area) -> list[str]:
    """Why an area's history is not settled."""
    name = area.facts.name
    if not area.operations and not (area.ride is not None and area.ride.waiting):
        return []
    if area.force.unjudged:
        return [f"area {name}: {area.force.unjudged}"]
    if area.reason:
        return [f"area {name}: {area.reason}, and not at rest since"]
    if not area.rested:
        return [f"area {name}: never at rest since its operations began"]
    return []


def _coverage(area: Area) -> Coverage:
    undecided = dict(area.undecided)
    waiting = area.ride.waiting if area.ride is not None else 0
    if area.pending or waiting:
        undecided["still being watched"] = area.pending + waiting
    return Coverage(area.facts.name, area.operations + waiting, area.decided, undecided,
                    area.pace.rests, area.pace.last_rest_ns, area.pace.torn,
                    area.pace.longest_ns, area.pace.longest_why)
