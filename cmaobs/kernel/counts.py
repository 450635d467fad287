# SPDX-License-Identifier: GPL-2.0
"""The kernel's side of the counting: maps summed over CPUs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
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
_COUNTED = struct.Struct(f"={wire.size('cmaobs_counted') // 8}Q")  # nothing else in it
HISTOGRAMS = tuple(
    (name.lower(), wire.constant(f"CMAOBS_HIST_{name}"))
    for name in ("ALLOC_HIT", "ALLOC_CONTIG", "ALLOC_FAILED", "CONTIG",
                 "RELEASE_DEFERRED", "RELEASE_DIRECT", "SCAN"))


class CountReader:
    """Reads counters, latencies and losses of a loaded observer."""

    def __init__(self, loaded: Loaded, maps: Maps, areas: tuple[AreaFacts, ...]) -> None:
        self._loaded, self._maps, self._areas = loaded, maps, areas

    def _sum(self, name: str, key: int, layout: wire.Layout | struct.Struct) -> tuple[int, ...]:
        values = self._maps.lookup_percpu(self._loaded.maps[name], key, layout.size)
        unpack: Callable[[bytes], tuple[int, ...]] = layout.unpack
        return tuple(map(sum, zip(*map(unpack, values), strict=True)))

    def read(self) -> tuple[AreaCounts, ...]:
        """The counts of every area since the probes were armed."""
        return tuple(self._area(area) for area in self._areas)

    def _area(self, area: AreaFacts) -> AreaCounts:
        values = self._sum("counted", area.index, _COUNTED)
        counters, values = values[:len(_COUNTERS.fields)], values[len(_COUNTERS.fields):]
        words = _LATENCY.size // 8
        latencies = {name: _latency(values[index * words:(index + 1) * words])
                     for name, index in HISTOGRAMS}
        found = AreaCounts(area, dict(zip(_COUNTERS.fields, counters, strict=True)), latencies)
        if "moved" not in self._loaded.maps:
            return found
        moved = self._sum("moved", area.index, _MOVED)
        return replace(
            found, moved=dict(zip(_MOVED.fields, moved, strict=True)),
            phases={name: _latency(self._sum("phase_latencies", area.index * len(NAMES) + place,
                                             _LATENCY))
                    for place, name in enumerate(NAMES)})

    def withheld(self) -> dict[str, int]:
        """What was not told so far, by feature of cmaobs.guard."""
        values = self._lost()
        return {"phases": values["phases_withheld"], "stacks": values["stacks_withheld"],
                "records": values["withheld"]}

    def losses(self) -> Losses:
        """Everything lost so far, by kind; what stacks and phases lack is none."""
        values = self._lost()
        for none in ("stacks_failed", "stacks_withheld", "phases_withheld"):
            del values[none]
        values["recursion"] = self._recursion()
        return Losses(values)

    def stacks_failed(self) -> int:
        """Operations so far whose stack could not be kept."""
        return self._lost()["stacks_failed"]

    def _lost(self) -> dict[str, int]:
        """struct cmaobs_losses, summed over the CPUs."""
        return dict(zip(_LOSSES.fields, self._sum("losses", 0, _LOSSES), strict=True))

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
        return sum(begun - ended for begun, ended in self._flights())

    def begun(self) -> int:
        """Operations on known areas that have begun so far."""
        return sum(begun for begun, _ in self._flights())

    def _flights(self) -> list[tuple[int, ...]]:
        # as many as probes/maps.h makes room for: a power of two above the areas
        raw = self._maps.lookup(self._loaded.maps["flight"], 0,
                                _FLIGHT.size << self._loaded.max_areas.bit_length())
        return list(_FLIGHT.iter_unpack(raw or b""))[:len(self._areas)]


def _latency(words: tuple[int, ...]) -> Latency:
    sum_ns, *slots = words
    return Latency(sum_ns, tuple(slots))
