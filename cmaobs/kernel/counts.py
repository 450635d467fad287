# SPDX-License-Identifier: GPL-2.0
"""The kernel's side of the counting: maps summed over CPUs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cmaobs import wire
from cmaobs.kernel.libbpf import Maps
from cmaobs.kernel.loader import Loaded
from cmaobs.phases import NAMES
from cmaobs.state import AreaCounts, AreaFacts, Latency, Losses

_COUNTERS = wire.Layout("cmaobs_counters")
_LATENCY = wire.Layout("cmaobs_latency")
_LOSSES = wire.Layout("cmaobs_losses")
_FLIGHT = wire.Layout("cmaobs_flight")
_MOVED = wire.Layout("cmaobs_moved")
HISTOGRAMS = tuple(
    (name.lower(), wire.constant(f"CMAOBS_HIST_{name}"))
    for name in ("ALLOC_HIT", "ALLOC_CONTIG", "ALLOC_FAILED", "CONTIG",
                 "RELEASE_DEFERRED", "RELEASE_DIRECT", "SCAN"))


class CountReader:
    """Reads counters, latencies and losses of a loaded observer."""

    def __init__(self, loaded: Loaded, maps: Maps, areas: tuple[AreaFacts, ...]) -> None:
        self._loaded, self._maps, self._areas = loaded, maps, areas

    def _sum(self, name: str, key: int, layout: wire.Layout) -> tuple[int, ...]:
        values = self._maps.lookup_percpu(self._loaded.maps[name], key, layout.size)
        return tuple(map(sum, zip(*map(layout.unpack, values), strict=True)))

    def read(self) -> tuple[AreaCounts, ...]:
        """The counts of every area since the probes were armed."""
        return tuple(self._area(area) for area in self._areas)

    def _area(self, area: AreaFacts) -> AreaCounts:
        latencies = {name: self._latency("latencies", area.index * len(HISTOGRAMS) + index)
                     for name, index in HISTOGRAMS}
        counters = self._sum("counters", area.index, _COUNTERS)
        found = AreaCounts(area, dict(zip(_COUNTERS.fields, counters, strict=True)), latencies)
        if "moved" not in self._loaded.maps:
            return found
        moved = self._sum("moved", area.index, _MOVED)
        return replace(
            found, moved=dict(zip(_MOVED.fields, moved, strict=True)),
            phases={name: self._latency("phase_latencies", area.index * len(NAMES) + place)
                    for place, name in enumerate(NAMES)})

    def _latency(self, name: str, key: int) -> Latency:
        sum_ns, *slots = self._sum(name, key, _LATENCY)
        return Latency(sum_ns, tuple(slots))

    def losses(self) -> Losses:
        """Everything lost so far, by kind; "sent" and "stacks_failed" are none."""
        values = dict(zip(_LOSSES.fields, self._sum("losses", 0, _LOSSES), strict=True))
        del values["sent"], values["stacks_failed"]
        values["recursion"] = self._recursion()
        return Losses(values)

    def sent(self) -> int:
        """Records sent so far."""
        return self._sum("losses", 0, _LOSSES)[0]

    def stacks_failed(self) -> int:
        """Operations so far whose stack could not be kept."""
        return self._sum("losses", 0, _LOSSES)[_LOSSES.fields.index("stacks_failed")]

    def _recursion(self) -> int:
        """Runs that the kernel skipped because the program was running already.

        Told by the kernel in fdinfo since 5.12; kprobe programs never tell.
        """
        total = 0
        for fd in self._loaded.programs.values():
            text = Path(f"/proc/self/fdinfo/{fd}").read_text()
            match = re.search(r"^recursion_misses:\s*(\d+)$", text, re.MULTILINE)
            total += int(match[1]) if match else 0
        return total

    def in_flight(self) -> int:
        """Operations on known areas that have begun and not ended."""
        total = 0
        for area in self._areas:
            raw = self._maps.lookup(self._loaded.maps["flight"], area.index, _FLIGHT.size)
            if raw is not None:
                begun, ended = _FLIGHT.unpack(raw)
                total += begun - ended
        return total
