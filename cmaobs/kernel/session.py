# SPDX-License-Identifier: GPL-2.0
"""A live kernel as a source of batches and readings."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmaobs import wire
from cmaobs.errors import KernelReadError
from cmaobs.events import SILENT
from cmaobs.guard import Guard
from cmaobs.kernel import facts as kernel_facts
from cmaobs.kernel import (
    held,
    identity,
    loader,
    page_flags,
    page_owner,
    plan,
    privileges,
    stacks,
    stayed,
)
from cmaobs.kernel.again import Again
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.at_attach import AtAttach
from cmaobs.kernel.counts import CountReader
from cmaobs.kernel.flight import Flight, Slots
from cmaobs.kernel.keepers import Keepers
from cmaobs.kernel.libbpf import Maps
from cmaobs.kernel.page_flags import Places
from cmaobs.kernel.ring import Pump, Ring
from cmaobs.kernel.stacks import Stacks
from cmaobs.kernel.stayed import StayedPages
from cmaobs.phases import split
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Losses, Reading, Withheld

_CONFIG = wire.Layout("cmaobs_config")
_LOOK_S, _LOOKS_S = 0.01, 2.0  # between two looks for what was in flight at attach; in all


@dataclass(frozen=True, slots=True)
class Options:
    """How to observe.

    poll_s: between two looks at the ring. reading_s: between two readings.
    ring_pages: of the ring buffer, a power of two. slots, a power of two, and max_threads: threads
    with an operation since they started that can be followed at a time, in one step and beside.
    send: False counts only. stacks: records carry the kernel stack. buffers_s: at the first reading
    and that often look up who holds dma-bufs; None is never. lent_s: the same for where pages are.
    phases: see where the time of allocations goes. max_rate: operations a second above which what
    costs most is withheld (cmaobs.guard).
    """

    root: str = "/"
    attach: plan.Attach = "auto"
    poll_s: float = 0.1
    reading_s: float = 1.0
    ring_pages: int = 1024
    slots: int = 1024
    max_threads: int = 4096
    send: bool = True
    stacks: bool = False
    probes: bool = True
    buffers_s: float | None = None
    lent_s: float | None = None
    phases: bool = False
    max_rate: float | None = None


class Session:
    """Implements cmaobs.source.Source on the running kernel."""

    def __init__(self, options: Options) -> None:
        """Attach. Raises UnsupportedError, PrivilegeError or ProbeError."""
        self._options = options
        self._facts = kernel_facts.probe(options.root)
        self._plan = plan.make(self._facts, options.attach, options.phases)
        self._loaded = loader.load(self._plan, loader.Parts(
            options.ring_pages, options.slots, options.max_threads, options.send,
            options.stacks and options.probes, options.probes), options.root)
        self._maps = Maps()
        self._reader = AreaReader(self._loaded, self._plan, self._maps)
        self._counts = CountReader(self._loaded, self._maps, self._reader.areas)
        self._ring = Pump(Ring(self._loaded.maps["events"],
                               options.ring_pages * os.sysconf("SC_PAGESIZE")), options.poll_s)
        maps = self._loaded.maps
        self._stacks = (Stacks(maps[loader.STACKS], maps[loader.CALLERS], self._maps, options.root)
                        if loader.STACKS in maps else None)
        self._keepers = Keepers(self._reader, self._plan, options.root, options.buffers_s)
        self._vmemmap = self._reader.vmemmap()
        self._stayed = StayedPages(self._reader, self._vmemmap, self._plan.structs["page"],
                                   options.root)
        self._places = Places(options.root, options.lent_s)
        self._flight = Flight(Slots(self._loaded.maps["slots"], options.slots),
                              self._loaded.maps["threads"], self._maps, options.max_threads,
                              self._counts.in_flight)
        features = (("records", options.send), ("stacks", self._stacks), ("phases", options.phases))
        self._guard = Guard(options.max_rate or math.inf, [name for name, used in features if used])
        self._stopped = False
        self._attached_ns = self._in_flight = 0
        self._before: AtAttach | None = None
        if options.probes:
            self._arm()
            self._before = self._await_others()

    def _await_others(self) -> AtAttach:
        """Until every task was seen outside of an operation that began before the probes."""
        operations = [name for handler, name in self._plan.functions.items()
                      if handler not in ("contig", "free")]
        before = AtAttach(self._options.root, operations, self._flight.followed,
                          self._reader.running)
        if before.trouble:
            self._attached_ns = time.monotonic_ns() + identity.BLIND_NS
            return before
        ends = time.monotonic() + _LOOKS_S
        while before.left and time.monotonic() < ends:
            before.look()
            time.sleep(_LOOK_S)
        self._attached_ns = time.monotonic_ns()
        return before

    def _arm(self) -> None:
        """Tell the probes where things are, and what is withheld."""
        since_ns = self._guard.since_ns
        values: dict[str, Any] = {"cma_areas": self._plan.cma_areas,
                                  "vmemmap": self._vmemmap,
                                  "cma_mutex": self._plan.cma_mutex,
                                  "records_since": since_ns.get("records", 0),
                                  "phases_since": since_ns.get("phases", 0),
                                  "stacks_withheld": int("stacks" in self._guard.withheld),
                                  "area_count": len(self._reader.areas),
                                  "armed": 1,
                                  "silent": SILENT * ("release_event" in self._loaded.attached)}
        self._maps.update(self._loaded.maps["config"], 0,
                          _CONFIG.pack(*(values.get(f, 0) for f in _CONFIG.fields)))

    def drop_privileges(self, name: str) -> tuple[str, ...]:
        """Go on as that user without capabilities; a line for each thing that is less for it.

        Before steps(). Raises UsageError or PrivilegeError.
        """
        less = self._hold()
        if self._before is not None and self._before.left:
            self._before.give_up("privileges were dropped")
            self._attached_ns = time.monotonic_ns() + identity.BLIND_NS
            less.append("operations in flight at attach: cannot be looked for any longer")
        kept = privileges.drop(name, self._usable)
        less += [f"{capability} is kept: this kernel lets nobody else read maps"
                 for capability in kept]
        return tuple(less)

    def _hold(self) -> list[str]:
        """Open what is read later and only privileged users may open; what could not be."""
        root = Path(self._options.root)
        wanted = [*([stacks.FILE] if self._stacks else []),
                  *([page_flags.FILE] if self._options.lent_s is not None else [])]
        for file in {page_flags.FILE, stayed.COUNTS, page_owner.FILE} - set(wanted):
            held.hold(root / file)  # of pages that stay busy; not every kernel has them
        return [why for file in wanted if (why := held.hold(root / file))]

    def _usable(self) -> bool:
        """Whether readings can be made."""
        try:
            for area in self.areas:
                self._reader.read(area)
            self._counts.read()
            self._losses()
            if self._options.probes:
                self._arm()  # as at any time again, where there is a --max-rate
        except KernelReadError:
            return False
        return True

    @property
    def identity(self) -> Mapping[str, str]:
        """Kernel and observer, as label values."""
        return identity.of(self._facts, self._plan, self._loaded, self._options.phases,
                           self._attached_ns, self._before.trouble if self._before else "")

    @property
    def areas(self) -> tuple[AreaFacts, ...]:
        """In the order of cma_areas[]."""
        return self._reader.areas

    def steps(self) -> Iterator[Batch | Reading]:
        """Endless until close(): a batch each poll_s, a reading each reading_s.

        Behind a loss readings come each poll_s too, until they tell all again.
        """
        self._ring.start()
        again = Again()
        due = 0.0
        while not self._stopped:
            if self._options.max_rate and \
                    self._guard.look(self._counts.begun(), time.monotonic_ns()):
                self._arm()
            if time.monotonic() >= due:
                due = time.monotonic() + self._options.reading_s
                for step in self._reading_steps():
                    if isinstance(step, Reading) and again.wanted(step):
                        due = 0.0
                    yield step
            else:
                yield self._batch(self._flight.advance())
            if not self._stopped:
                time.sleep(self._options.poll_s)

    def finish(self) -> Iterator[Batch | Reading]:
        """The last batches and readings, for use after steps() was left.

        Two readings: what the first one shows is confirmed by the second.
        """
        for _ in range(2):
            yield from self._reading_steps()
            time.sleep(self._options.poll_s)
            yield self._batch(self._flight.advance())

    def close(self) -> None:
        """Detach everything."""
        self._stopped = True
        self._ring.close()
        self._flight.close()
        self._loaded.close()
        held.release()

    def _reading_steps(self) -> Iterator[Batch | Reading]:
        """Snapshots first, then the records that led there, then the reading.

        The watermark is of before the snapshots: every record from before a
        snapshot is delivered ahead of it, and none is judged too early.
        """
        watermark = self._flight.advance()
        yield self._batch(watermark)
        states = self._places.looked_up(self._reader.read(area) for area in self.areas)
        counts = self._counts.read()
        losses = self._losses()
        yield self._batch(watermark)
        yield Reading(time_ns=time.monotonic_ns(), wall_s=time.time(), counts=counts,
                      states=states, losses=losses,
                      stacks=self._stacks.fresh() if self._stacks else {},
                      buffers=self._keepers.buffers(), owners=self._keepers.owners(states),
                      stayed=self._stayed.fresh(),
                      stacks_failed=self._counts.stacks_failed() if self._stacks else None,
                      withheld=self._withheld())

    def _withheld(self) -> dict[str, Withheld]:
        if not self._options.max_rate:
            return {}
        counts = self._counts.withheld()
        return {name: Withheld(name in self._guard.withheld, counts[name])
                for name in self._guard.since_ns}

    def _losses(self) -> Losses:
        """Operations that nobody follows were in flight until now if they are, or were before."""
        if self._before is not None and self._before.left:
            self._in_flight += self._before.left
            self._before.look()
        counts = self._counts.losses().counts
        return Losses({**counts, "in_flight_at_attach": self._in_flight})

    def _batch(self, watermark_ns: int) -> Batch:
        """What is in the ring now."""
        data, phased = self._ring.read(), b""
        if self._options.phases:
            data, phased = split(data)
        self._stayed.note(data)
        if self._stacks:
            self._stacks.note(data)
        return Batch(data, watermark_ns, phased)


def open_session(options: Options) -> Session:
    """A session on the running kernel.

    Raises UnsupportedError, PrivilegeError or ProbeError.
    """
    return Session(options)
