# SPDX-License-Identifier: GPL-2.0
"""The compiled lane gathers the same demand as Gather does, or says that it cannot."""

from __future__ import annotations

from random import Random

import pytest
from golden import demands, histories, samples
from golden.samples import AREA, alloc, batch, release
from hypothesis import given, settings
from hypothesis import strategies as st
from property.test_whatif_input import steps_of
from reference.kernel import Kernel
from reference.load import Crew, facts, job, records_of

from cmaobs import lane
from cmaobs.events import RECORD
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading
from cmaobs.whatif import quick

SEEDS = st.integers(0, 1 << 32)


def same(steps: list[Batch | Reading], area: AreaFacts = AREA) -> int:
    """How many operations both have gathered."""
    assert not lane.missing()
    slow, left_out = demands.gathered(steps, [area], samples.IDENTITY)
    fast, also = demands.quickly(steps, [area], samples.IDENTITY)
    assert fast == slow
    assert also == left_out
    return sum(demand.operations for demand in slow)


@given(seed=SEEDS)
@settings(max_examples=400, deadline=None)
def test_whatever_a_recording_holds(seed: int) -> None:
    random = Random(seed)
    area = AreaFacts(0, "a", random.choice((16, 0x40000, 0x41001)),
                     random.choice((16, 64, 100, 1024)), 0)
    same(steps_of(random, area, counts=(1, 2, 4, 8, 1 << 40)), area)


def run_of(seed: int) -> tuple[list[Batch | Reading], AreaFacts]:
    """Threads on the small kernel; some records are lost, and some come late."""
    random = Random(seed)
    kernel = Kernel(facts(random.choice((64, 80))), random, random.choice((0, 1, 4)))
    lose = random.choice((0.0, 0.0, 0.1))
    steps: list[Batch | Reading] = []
    for _ in Crew(kernel, random, 3, first=1).steps(60, job):
        if random.random() < 0.15:
            data = b"".join(records_of(one) for one in kernel.out if random.random() >= lose)
            kernel.out.clear()
            cut = random.randrange(len(data) // RECORD.size + 1) * RECORD.size
            steps += [Batch(data[:cut], 0), Batch(data[cut:], kernel.watermark())]
            if random.random() < 0.3:
                steps.append(demands.reading(kernel))
    return [*steps, demands.told(kernel), demands.reading(kernel)], kernel.facts


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_threads_losses_and_late_records(seed: int) -> None:
    steps, area = run_of(seed)
    assert same(steps, area) > 10


def test_the_demo() -> None:
    source = RecordingSource(str(demands.DEMO))
    (area,) = source.areas
    assert same(list(source.steps()), area) == 2056


@pytest.mark.parametrize("steps", [histories.lossy(), histories.lawful(), histories.unlawful()])
def test_histories(steps: list[Batch | Reading]) -> None:
    assert same(steps)


@pytest.mark.parametrize("records", [
    (alloc(1000, 1100, AREA.base_pfn, 0),), (release(1000, 1100, AREA.base_pfn, 0),),
    tuple(samples.contig(1000 + n, 1100 + n, 500 + n, AREA.base_pfn, 1) for n in range(1025))])
def test_what_only_gather_can_tell(records: tuple[samples.Record, ...]) -> None:
    with pytest.raises(quick.BeyondError):
        demands.quickly([batch(*records), batch(watermark=10 ** 6)], [AREA], samples.IDENTITY)


def test_areas_that_it_does_not_take() -> None:
    assert quick.takes([AREA])
    assert not quick.takes([AREA, samples.SECOND])
