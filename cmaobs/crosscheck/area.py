# SPDX-License-Identifier: GPL-2.0
"""One area's history, swept in the order of time.

Events are handled in order up to the watermark, since all that began before it
is in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from cmaobs.crosscheck import beginning, blame, ending, known, rest, rules
from cmaobs.crosscheck.agenda import Agenda, What
from cmaobs.crosscheck.batch import Batch
from cmaobs.crosscheck.doubt import Doubts
from cmaobs.crosscheck.force import Force
from cmaobs.crosscheck.frame import DEFERRED, STATES, Frame, Step
from cmaobs.crosscheck.glance import Glance
from cmaobs.crosscheck.pace import Pace
from cmaobs.crosscheck.pages import Pages
from cmaobs.crosscheck.plan import Flight
from cmaobs.crosscheck.ride import Ride
from cmaobs.events import Kind, Operation
from cmaobs.lane import Lane
from cmaobs.model import Policy
from cmaobs.runs import runs
from cmaobs.state import AreaFacts, AreaState
from cmaobs.verdict import Divergence

Report = Callable[[AreaFacts, Divergence, bool], None]  # the bool: found at rest
Void = Callable[[AreaFacts, str], None]  # a gap, and its reason
Retell = Callable[[Divergence, Divergence], None]  # what was reported, and its root


class Area:
    """State of the check of one area; report, void and retell are told what it finds and loses."""

    def __init__(self, facts: AreaFacts, policy: Policy, report: Report, void: Void,
                 retell: Retell, lane: Lane | None = None,
                 policy_probed: bool | None = None) -> None:
        self.facts = facts
        self.force = Force(policy, policy_probed)
        self.pages = Pages(facts, policy, self._blame)
        self.known = False  # learned from a snapshot at rest, and no gap since
        self.rested = False  # and at rest after an operation
        self.drift: int | None = 0  # defer_count minus the sum of the extents; None: not known
        self.counts_defer = True
        self.batch = Batch()
        self.operations = self.decided = self.pending = 0
        self.ended = 0  # operations that the sweep has seen the end of
        self.unsure = 0  # of decided: since the last reading without news of a loss
        self.undecided: Counter[str] = Counter()
        self.pace = Pace()
        self.clean_ns = 0  # a reading then came without news of a loss
        self.twice = self.empty = 0  # pages in two extents and empty extents, when last at rest
        self.empty_released = True  # a release of no pages may list an extent of none
        self.left_over = False  # pages were listed at rest while batch was 0
        self.unpassed: int | None = None  # shrinker.batch, where it was not batch at rest
        self.direct_while_on = 0  # R3: releases that could not be deferred
        self.now = 0
        self.reason = ""  # of the gap that is open
        self.recent: deque[Operation] = deque(maxlen=64)
        self.compared: AreaState | None = None  # the snapshot that is being compared
        self.episode = 0  # how often everything was learned from a snapshot
        self.granted = self.refused = 0  # pages, as the kernel counts them
        self.oversize = 0  # of refused: in requests of more than the area has
        self.counted: tuple[int, int, int, int, int] | None = None
        self._report = report
        self._void = void
        self._retell = retell
        self.doubts = Doubts()
        self._agenda = Agenda()
        self._frames: list[Frame] = []
        self._glance: Glance | None = None
        self._glances: list[Glance] = []  # that wait for the operations of their time to end
        self.faults = 0  # divergences so far, those of glances aside
        self.blind_until = 0
        self.busy_until = 0  # end of the last operation that is queued here
        self.ride = Ride(self, lane) if lane is not None else None

    @property
    def policy(self) -> Policy:
        """What its operations are judged by."""
        return self.force.policy

    def add(self, operation: Operation, watermark: int) -> None:
        """Take in an operation; watermark: time up to which events were handled."""
        record = operation.record
        self.operations += 1
        if record.kind in (Kind.CONTIG, Kind.FREE):
            self._loose(operation)
            return
        if record.start_ns < watermark:
            self.undecided["delivered late"] += 1
            self.gap("an operation was delivered late", max(record.end_ns, watermark))
            return
        if not operation.complete:
            self.gap("calls of an operation were lost", record.end_ns)
        if record.kind == Kind.POLICY and not record.ret:
            self.gap("its policy was written", record.end_ns)
        self.pending += 1
        self.busy_until = max(self.busy_until, record.end_ns)
        self._agenda.flight(Flight(operation, self.facts, self.pages.full))

    def observe(self, state: AreaState) -> None:
        """Take in a snapshot; it is compared when the sweep gets there."""
        if state.at_rest:
            self._agenda.put(state.end_ns, What.SNAPSHOT, state)
        elif self.ride is None or not self.ride.glance(state):
            self.glance(state)

    def glance(self, state: AreaState) -> None:
        """Queue a snapshot that was taken while operations were in flight."""
        if state.start_ns > self.now:
            glance = Glance(state)
            self._agenda.put(state.start_ns, What.GLANCE, glance)
            self._agenda.put(state.end_ns, What.GLANCE_END, glance)

    def learned(self, state: AreaState) -> None:
        """Everything is known again, though it was never at rest."""
        self.drift = 0
        self.counts_defer = state.defer_count is not None
        self.force.learn(state)
        self.known = True
        self.rested = self.rested or self.ended > 0
        self.reason = ""
        self.episode += 1

    def gap(self, reason: str, at_ns: int) -> None:
        """Something is not known about the time up to at_ns: learn everything again."""
        self.lose(reason)
        self.blind(reason, at_ns)

    def blind(self, reason: str, until_ns: int) -> None:
        """Do not judge what began before."""
        self.blind_until = max(self.blind_until, until_ns)
        self.reason = reason
        if until_ns > self.now:
            self._agenda.put(until_ns, What.BLIND, reason)

    def lose(self, reason: str, told: bool = False) -> None:
        """Forget everything; operations in flight now are not judged."""
        if self.ride is not None:
            self.ride.forget()
        if not told:
            self._void(self.facts, reason)
        self.decided -= self.unsure
        if self.unsure:
            self.undecided[reason] += self.unsure
        self.unsure = 0
        self.doubts.clear()
        self.pages.forget()
        self.known = self.rested = False
        self.reason = reason
        self.batch.value = None
        self.force.forget()
        self.counted = None
        self.empty_released = True  # until a snapshot tells
        self._glances.clear()
        for frame in self._frames:
            frame.flight.blind = True

    def _loose(self, operation: Operation) -> None:
        """A call outside of any operation: the kernel's own business, or of one we missed."""
        record = operation.record
        self.undecided["call outside any operation"] += 1
        freed = rules.freed(self.facts, [record])
        if record.kind == Kind.FREE and freed & self.pages.may[DEFERRED]:
            self.gap("deferred pages freed outside any operation", record.end_ns)

    def sweep(self, watermark: int) -> None:
        """Explain or judge what happened before watermark."""
        if self.ride is not None:
            self.ride.sweep(watermark)
        else:
            self.judge(watermark)

    @property
    def next_ns(self) -> int | None:
        """When the next event is that is queued here."""
        return self._agenda.next_ns

    def judge(self, watermark: int) -> None:
        """Handle the events queued here that happened before watermark."""
        for time, what, item in self._agenda.until(watermark):
            if what == What.SNAPSHOT:
                rest.compare(self, item)
                continue
            self.now = self.pages.now = time
            if what == What.STEP:
                self.pages.begin(item)
                self.doubts.begin(item)
                self._meet(item)
            elif what == What.STEP_END:
                self.pages.end(item)
            elif what == What.FRAME:
                beginning.note(self, item, self._frames)
                self._frames.append(item)
            elif what == What.FRAME_END:
                self._end(item)
            elif what == What.GLANCE:
                self._glance = item
                self.busy_until = max(self.busy_until, item.state.end_ns)
                item.begin(self, {frame.flight for frame in self._frames})
            elif what == What.GLANCE_END:
                self._glance = None
                item.end(self, {frame.flight for frame in self._frames})
                self._glances.append(item)
                self._tell_glances()
            else:
                self.lose(item, told=True)

    @property
    def still(self) -> bool:
        """Whether no operation is in flight as far as the sweep knows."""
        return not self._frames and self._glance is None and self.pages.quiet

    def _meet(self, step: Step) -> None:
        """A step begins during what is open."""
        for frame in self._frames:
            if frame.flight is not step.flight:
                frame.others.add(step)
        if self._glance is not None:
            self._glance.meet(step)

    def _end(self, frame: Frame) -> None:
        self._frames.remove(frame)
        view = rules.View.of(self.facts, self.policy, frame)
        if not frame.whole:
            ending.of_look(self, view)
            return
        ending.of_operation(self, view)
        self._tell_glances(frame.flight)

    def _tell_glances(self, over: Flight | None = None) -> None:
        for glance in self._glances[:]:
            glance.flights -= {over}
            if not glance.flights:
                self._glances.remove(glance)
                glance.tell(self)

    def _blame(self, step: Step, pages: int, state: int, rule: str) -> None:
        if rule == "R5":
            self.diverge("R5", pages, "one extent that holds the run", "several", step.flight)
            return
        kind = Kind(step.flight.operation.record.kind).name.lower()
        self.diverge(blame.of_step(step, state), pages, f"{STATES[step.frm]} pages",
                     f"{kind} of {STATES[state]} pages", step.flight)

    def diverge(self, rule: str, pages: int, expected: str, observed: str,
                flight: Flight | None = None, at_ns: int = 0, torn: bool = False) -> None:
        """Report, and trust nothing about the pages until a snapshot tells.

        torn: the snapshot that shows it was not at rest.
        """
        base = self.facts.base_pfn
        if pages and not pages & ~self.pages.taint:
            return  # follows from what was reported
        self.faults += not torn
        before, after = (known.around_operation(self, pages, flight) if flight is not None
                         else known.around_snapshot(self, pages))
        found = Divergence(
            rule, self.facts.name, at_ns or self.now, runs(pages, base), expected, observed,
            blame.concerned(self, pages, flight,
                            [frame.flight for frame in self._frames if frame.whole]),
            flight is None, before, after)
        if flight is not None:
            self.doubts.note(self, found, pages, flight)
        self.pages.distrust(pages)
        self._report(self.facts, found, flight is None and not torn)

    def settle(self, state: AreaState, marked: int = 0) -> None:
        """Tell by its root what the snapshot shows to have one. marked: bits not to rely on."""
        for found, root in self.doubts.compare(self, state, marked):
            self._retell(found, root)
