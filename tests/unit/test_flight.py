# SPDX-License-Identifier: GPL-2.0
"""Operations in flight are found in slots and beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest

from cmaobs import wire
from cmaobs.kernel.flight import Flight, Slots
from cmaobs.kernel.libbpf import Maps

SIZE = wire.size("cmaobs_thread")
FRAME = wire.size("cmaobs_frame")
FIRST = SIZE - wire.constant("CMAOBS_DEPTH") * FRAME  # where the frames begin


def thread(tid: int, *starts: int, task: int = 0xffff888000000000) -> bytes:
    """A struct cmaobs_thread with operations that began at these times, ns."""
    data = bytearray(SIZE)
    for member, value, size in (("depth", len(starts), 8), ("task", task, 8), ("tid", tid, 4)):
        at = wire.offset("cmaobs_thread", member)
        data[at:at + size] = value.to_bytes(size, "little")
    for level, start in enumerate(starts):
        at = FIRST + level * FRAME + wire.offset("cmaobs_frame", "start_ns")
        data[at:at + 8] = start.to_bytes(8, "little")
    return bytes(data)


class Hash:
    """The map of threads that have no slot."""

    def __init__(self, **threads: bytes) -> None:
        self._threads = {int(name[1:]): value for name, value in threads.items()}

    def keys(self, _fd: int) -> Iterator[int]:
        yield from self._threads

    def lookup(self, _fd: int, key: int, size: int) -> bytes | None:
        assert size == SIZE
        return self._threads.get(key)


@pytest.fixture
def slots() -> Iterator[Slots]:
    """Eight of them: an idle thread, two with operations, one that only tries to have its slot."""
    fd = os.memfd_create("slots")
    os.ftruncate(fd, 1 << 16)
    for place, data in enumerate((thread(1), thread(2, 5000), thread(3, 7000, 8000),
                                  thread(4, 100, task=0))):
        os.pwrite(fd, data, place * 2 * SIZE)
    made = Slots(fd, 8)
    yield made
    made.close()
    os.close(fd)


def flight(slots: Slots, beside: Hash, count: int) -> Flight:
    return Flight(slots, 0, cast(Maps, beside), 16, lambda: count)


def test_threads_with_operations_in_flight(slots: Slots) -> None:
    assert [(tid, len(value)) for tid, value in slots.threads()] == [(2, SIZE), (3, SIZE)]


def test_followed_wherever_the_thread_is(slots: Slots) -> None:
    found = flight(slots, Hash(t9=thread(9, 1, 2, 3)), 1)
    assert [found.followed(tid) for tid in (1, 2, 3, 4, 9, 10)] == [0, 1, 2, 0, 3, 0]


@pytest.mark.parametrize(("beside", "oldest"), [
    (Hash(), 5000), (Hash(t9=thread(9, 4000, 4500)), 4000), (Hash(t9=thread(9)), 5000)])
def test_the_watermark_is_the_oldest_start(slots: Slots, beside: Hash, oldest: int) -> None:
    assert flight(slots, beside, 3).advance() == oldest


def test_at_rest_nothing_is_looked_up(slots: Slots) -> None:
    assert flight(slots, Hash(t9=thread(9, 4000)), 0).advance() > 10**6
