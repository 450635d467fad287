# SPDX-License-Identifier: GPL-2.0
"""Recordings are input from anybody: what has no sense is left out, and the rest is replayed."""

from __future__ import annotations

import dataclasses
from random import Random

from golden import demands, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from cmaobs.events import Kind, Record
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading, Run
from cmaobs.whatif import fast
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.rules import named

KINDS = (1, 1, 1, 2, 2, 2, 3, 4, 5, 16, 17)


def record(random: Random, area: AreaFacts, now: int,
           counts: tuple[int, ...] = (0, 1, 2, 4, 8, 1 << 40)) -> Record:
    start = now + random.randrange(-50, 50)
    kind = random.choice(KINDS)
    pfn = random.choice((0, area.base_pfn, area.base_pfn + random.randrange(-3, area.count + 5)))
    return samples.record(
        Kind(kind), start, start + random.randrange(80), pfn=max(pfn, 0),
        count=random.choice((*counts, random.randrange(1, 200))),
        path=random.randrange(7), ret=random.choice((0, 1, -12, -16, 5, -2)),
        op_ns=start - 10 if kind >= Kind.CONTIG and random.random() < 0.5 else 0,
        tid=random.randrange(1, 4), n_contig=random.choice((0, 0, 1)),
        n_free=random.choice((0, 0, 1)), align=random.choice((0, 0, 1, 3, 19, 20, 63)),
        area=random.choice((0, 0, 0, 1, 0xffff)))


def reading(random: Random, area: AreaFacts, now: int) -> Reading:
    runs: list[Run] = []
    at = area.base_pfn
    while random.random() < 0.6:
        at += random.randrange(9)
        pages = random.randrange(1, 9)
        if at + pages > area.base_pfn + area.count:
            break
        runs.append((at, pages))
        at += pages + 1
    state = samples.state(area, random.choice((now, random.randrange(1, 10 ** 7))), tuple(runs),
                          random.choice((None, (), ((area.base_pfn, 3),))))
    state = dataclasses.replace(state, at_rest=random.random() < 0.7,
                                batch=random.choice((None, 0, 1, 64)))
    return samples.reading(now, (samples.counts(area), state),
                           losses={"ring_full": random.randrange(3)})


def steps_of(random: Random, area: AreaFacts, **values: tuple[int, ...]) -> list[Batch | Reading]:
    steps: list[Batch | Reading] = []
    now = 1000
    for _ in range(random.randrange(2, 60)):
        now += random.randrange(100)
        if random.random() < 0.15:
            steps.append(reading(random, area, now))
        else:
            steps.append(samples.batch(
                *(record(random, area, now + 20 * i, **values) for i in range(4)),
                watermark=random.choice((now, now, 0, 1 << 62))))
    return steps


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=200, deadline=None)
def test_whatever_a_recording_holds(seed: int) -> None:
    random = Random(seed)
    area = AreaFacts(0, "a", random.choice((16, 0x40000, 0x41001)),
                     random.choice((16, 64, 100, 1024)), random.choice((0, 0, 1, 2)))
    found, _ = demands.gathered(steps_of(random, area), [area],
                                {"patched": random.choice(("yes", "no"))})
    for demand in found:
        for name in ("rfc", "prefer-deferred+flush-overlap", "keep-4"):
            batch, chance = random.choice((None, 1, 4)), random.choice((0, 1))
            slow = Replay(demand, named(name), batch, chance).run()
            if not area.order_per_bit:
                quick = fast.run(demand, named(name), batch, chance)
                assert (quick.paths, quick.pfns) == (slow.paths, slow.pfns)
                assert quick.withheld.sums == slow.withheld.sums
