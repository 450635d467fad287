# SPDX-License-Identifier: GPL-2.0
"""Operations taken apart into records, a little out of order, come back whole."""

from __future__ import annotations

from random import Random

import pytest
from reference.kernel import Kernel
from reference.load import Watch, facts, job

from cmaobs.events import Operation, Record
from cmaobs.history import History
from cmaobs.model import RFC
from cmaobs.state import Run


def records(seed: int, operations: int = 80) -> tuple[list[Operation], list[Record]]:
    """What a kernel did, and the stream of it with neighbours swapped now and then."""
    random = Random(seed)
    kernel = Kernel(facts(), random, 1)
    kernel.chance = 0.1
    Watch(kernel, RFC)
    held: list[Run] = []
    for _ in range(operations):
        for _ in job(kernel, random.randrange(3), held, random):
            pass
    stream = [record for op in kernel.out for record in (*op.calls, op.record)]
    stream.sort(key=lambda record: record.end_ns)
    for _ in range(operations // 4):
        i = random.randrange(len(stream) - 1)
        stream[i], stream[i + 1] = stream[i + 1], stream[i]
    return kernel.out, stream


@pytest.mark.parametrize("seed", range(30))
def test_joining_takes_back_what_was_taken_apart(seed: int) -> None:
    made, stream = records(seed)
    history = History()
    found = [*history.feed(stream), *history.settle(10**12)]
    assert sorted(found, key=repr) == sorted(made, key=repr)
    assert all(op.complete for op in found if isinstance(op, Operation))


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_call_leaves_its_operation_incomplete(seed: int) -> None:
    made, stream = records(seed)
    calls = [record for record in stream if record.op_ns]
    assert calls, "the history has a call to lose"
    stream.remove(Random(seed).choice(calls))
    history = History()
    found = [*history.feed(stream), *history.settle(10**12)]
    operations = [op for op in found if isinstance(op, Operation)]
    assert len(operations) == len(made)
    assert sum(not op.complete for op in operations) == 1
