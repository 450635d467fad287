# SPDX-License-Identifier: GPL-2.0
"""Where the time of an allocation went: struct cmaobs_phased, decoded. Pure.

Times are ns. What no phase explains is unexplained; phases and that add up to the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest
from typing import NamedTuple

from cmaobs import wire
from cmaobs.events import RECORD
from cmaobs.state import AreaFacts

NAMES = ("waiting", "flushing", "isolating", "draining", "reclaiming", "migrating", "testing",
         "unexplained")
"""enum cmaobs_phase, in its order."""

KEPT = 10  # the slowest allocations of an area

PHASED = wire.Layout("cmaobs_phased")
KIND = wire.constant("CMAOBS_PHASED")
_KIND = wire.offset("cmaobs_record", "kind") + (sys.byteorder == "big")
_SIZE = PHASED.size

if (RECORD.size != _SIZE
        or any(wire.offset("cmaobs_phased", name) != wire.offset("cmaobs_record", name)
               for name in ("kind", "area", "lost"))
        or [wire.constant(f"CMAOBS_PHASE_{name.upper()}") for name in NAMES]
        != list(range(wire.constant("CMAOBS_PHASES")))):
    raise ImportError("cmaobs/phases.py does not match probes/wire.h")


class Phased(NamedTuple):
    """struct cmaobs_phased, field for field: see probes/wire.h for each."""

    start_ns: int
    end_ns: int
    op_ns: int
    waiting_ns: int
    flushing_ns: int
    isolating_ns: int
    draining_ns: int
    reclaiming_ns: int
    migrating_ns: int
    testing_ns: int
    tid: int
    tgid: int
    isolated: int
    migrated: int
    lost: int
    kind: int
    path: int
    area: int
    cpu: int
    missed: int
    comm: bytes
    failed: int
    reclaimed: int

    @property
    def whole_ns(self) -> int:
        """From its start to its end."""
        return self.end_ns - self.start_ns

    @property
    def phases(self) -> dict[str, int]:
        """ns by name, what is unexplained included; those of 0 ns are left out."""
        found = {name: getattr(self, f"{name}_ns") for name in NAMES[:-1]}
        found["unexplained"] = self.whole_ns - sum(found.values())
        return {name: ns for name, ns in found.items() if ns}


if PHASED.fields != Phased._fields:
    raise ImportError("cmaobs/phases.py does not match struct cmaobs_phased of probes/wire.h")


def split(data: bytes) -> tuple[bytes, bytes]:
    """Whole structs as the ring has them: structs cmaobs_record, and structs cmaobs_phased."""
    kinds = data[_KIND::_SIZE]
    if KIND not in kinds:
        return data, b""
    parts: tuple[list[bytes], list[bytes]] = [], []
    for at, kind in enumerate(kinds):
        parts[kind == KIND].append(data[at * _SIZE:(at + 1) * _SIZE])
    return b"".join(parts[0]), b"".join(parts[1])


def decode(data: bytes) -> Iterator[Phased]:
    """Each of the structs; those that cannot be what they say are left out."""
    for values in PHASED.iter_unpack(data):
        one = Phased._make(values)
        if one.kind == KIND and 0 <= sum(values[3:10]) <= one.whole_ns:
            yield one


class Slowest:
    """found: by index of the area, those that took longest, the slowest first; replaced."""

    def __init__(self, areas: Iterable[AreaFacts]) -> None:
        self._areas = {facts.index for facts in areas}
        self.found: Mapping[int, tuple[Phased, ...]] = {}

    def add(self, data: bytes) -> None:
        """Whole structs cmaobs_phased."""
        if not data:
            return
        found: dict[int, list[Phased]] = {area: list(ones) for area, ones in self.found.items()}
        for one in decode(data):
            if one.area in self._areas:
                found.setdefault(one.area, []).append(one)
        self.found = {area: tuple(nlargest(KEPT, ones, key=lambda one: one.whole_ns))
                      for area, ones in found.items()}
