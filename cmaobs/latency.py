# SPDX-License-Identifier: GPL-2.0
"""Histogram slots in seconds, and quantiles that say how far off they may be. Pure.

The probes sort a duration into slots that split each octave of nanoseconds in
four equal parts: see CMAOBS_SLOT_* in probes/wire.h. Slot 0 is everything
below 2^7 ns, the last one everything from its lower edge up.
"""

from __future__ import annotations

from typing import NamedTuple

from cmaobs import wire
from cmaobs.state import Latency

_BITS = wire.constant("CMAOBS_SLOT_BITS")
_FIRST = wire.constant("CMAOBS_SLOT_FIRST")
SLOTS = wire.constant("CMAOBS_SLOTS")
_PARTS = 1 << _BITS
_S = 1e9  # ns; division by it rounds correctly, multiplication by 1e-9 does not

OCTAVES = range(_FIRST + 1, _FIRST + (SLOTS - 2) // _PARTS + 1)
"""Powers of two, in ns, that are edges between slots: bucket limits that lose nothing."""


def slot_of(duration_ns: int) -> int:
    """The slot of a duration, as the probes compute it."""
    octave = duration_ns.bit_length() - 1
    if octave < _FIRST:
        return 0
    part = (duration_ns >> (octave - _BITS)) - _PARTS
    return min(1 + (octave - _FIRST) * _PARTS + part, SLOTS - 1)


def lower_edge_ns(slot: int) -> int:
    """The shortest duration of a slot; SLOTS gives infinity's stand-in, one slot further."""
    if slot == 0:
        return 0
    octave, part = divmod(slot - 1, _PARTS)
    return (_PARTS + part) << (octave + _FIRST - _BITS)


class Quantile(NamedTuple):
    """A quantile lies in [low_s, high_s); high_s is infinity in the last slot."""

    low_s: float
    high_s: float

    @property
    def middle_s(self) -> float:
        """The middle, at most 1/9 from the true value; the lower edge in the last slot."""
        if self.high_s == float("inf"):
            return self.low_s
        return (self.low_s + self.high_s) / 2


def quantile(latency: Latency, share: float) -> Quantile | None:
    """The duration that a share of the operations did not exceed (nearest rank).

    None where there was no operation. share: above 0, at most 1.
    """
    total = latency.count
    if not total:
        return None
    rank = max(1, -int(-share * total // 1))
    seen = 0
    for slot, hits in enumerate(latency.slots):
        seen += hits
        if seen >= rank:
            high = float("inf") if slot == SLOTS - 1 else lower_edge_ns(slot + 1) / _S
            return Quantile(lower_edge_ns(slot) / _S, high)
    raise ValueError(f"share {share} is above 1")


def cumulative(latency: Latency) -> list[tuple[float, int]]:
    """(limit in seconds, operations below it) for each octave, then infinity.

    The limits are exclusive where Prometheus's are inclusive: an operation of
    exactly the limit counts in the next bucket, an error of 1 ns.
    """
    buckets = []
    below = 0
    slot = 0
    for octave in OCTAVES:
        while lower_edge_ns(slot + 1) <= 1 << octave:
            below += latency.slots[slot]
            slot += 1
        buckets.append(((1 << octave) / _S, below))
    return [*buckets, (float("inf"), latency.count)]


def total_s(latency: Latency) -> float:
    """Seconds spent; exact."""
    return latency.sum_ns / _S


def merge(latencies: list[Latency]) -> Latency:
    """The histogram of them all."""
    return Latency(sum(one.sum_ns for one in latencies),
                   tuple(map(sum, zip(*(one.slots for one in latencies), strict=True)))
                   if latencies else (0,) * SLOTS)
