# SPDX-License-Identifier: GPL-2.0
"""Demand of recordings and of small generated histories, for tests of whatif."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reference.kernel import Kernel
from reference.load import records_of

from cmaobs.recording import RecordingSource
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Losses, Reading
from cmaobs.whatif.demand import Demand
from cmaobs.whatif.gather import Gather
from cmaobs.whatif.quick import Quick

DEMO = Path(__file__).parents[2] / "cmaobs/data/demo.cmarec"


def gathered(steps: Iterable[Batch | Reading], areas: Iterable[AreaFacts],
             identity: Mapping[str, str]) -> tuple[list[Demand], Mapping[str, int]]:
    """The demands, and what was left out of the recording as a whole."""
    gather = Gather("test", identity, areas)
    for step in steps:
        gather.add(step)
    return gather.demands(), gather.left_out


def quickly(steps: Iterable[Batch | Reading], areas: Sequence[AreaFacts],
            identity: Mapping[str, str]) -> tuple[list[Demand], Mapping[str, int]]:
    """The same by the compiled lane."""
    gather = Quick("test", identity, areas)
    for step in steps:
        gather.add(step)
    return gather.demands(), gather.left_out


def demo() -> Demand:
    """The only demand of the recording that comes with the package."""
    source = RecordingSource(str(DEMO))
    (demand,), _ = gathered(source.steps(), source.areas, source.identity)
    return demand


def reading(kernel: Kernel) -> Reading:
    """A reading of the small kernel."""
    state = kernel.snapshot()
    return Reading(state.end_ns, state.end_ns / 1e9, (), (state,), Losses({}))


def told(kernel: Kernel) -> Batch:
    """What the small kernel recorded since the last time."""
    data = b"".join(map(records_of, kernel.out))
    kernel.out.clear()
    return Batch(data, kernel.watermark())
