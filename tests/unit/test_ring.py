# SPDX-License-Identifier: GPL-2.0
"""The ring buffer's reader, on a file laid out as kernel/bpf/ringbuf.c lays out memory."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmaobs.events import RECORD, Record, decode
from cmaobs.kernel.ring import Pump, Ring

PAGE = mmap.PAGESIZE
SIZE = 4 * PAGE
STRIDE = 8 + RECORD.size
BUSY, DISCARD = 1 << 31, 1 << 30


class Producer:
    """The kernel's side."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.position = 0

    def put(self, start_ns: int, flags: int = 0) -> None:
        """One record; flags BUSY or DISCARD. Written to both copies of the data."""
        values = dict.fromkeys(Record._fields, 0) | {"start_ns": start_ns, "comm": b"test"}
        data = struct.pack("=II", RECORD.size | flags, 0) + RECORD.pack(*values.values())
        for index, byte in enumerate(data):
            offset = (self.position + index) % SIZE
            for copy in (0, SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + offset)
        self.position += STRIDE
        os.pwrite(self.fd, struct.pack("=Q", self.position), PAGE)

    def commit(self, index: int) -> None:
        """Clear BUSY of the record of that index."""
        offset = index * STRIDE % SIZE
        for copy in (0, SIZE):
            os.pwrite(self.fd, struct.pack("=I", RECORD.size), 2 * PAGE + copy + offset)

    def consumed(self) -> int:
        """The consumer's position, bytes."""
        position: int = struct.unpack("=Q", os.pread(self.fd, 8, 0))[0]
        return position


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[Producer]:
    producer = Producer(tmp_path / "ring")
    yield producer
    os.close(producer.fd)


def starts(data: bytes) -> list[int]:
    return [record.start_ns for record in decode(data)]


def test_reads_everything_once(producer: Producer) -> None:
    ring = Ring(producer.fd, SIZE)
    assert ring.read() == b""
    for n in range(5):
        producer.put(n)
    assert starts(ring.read()) == [0, 1, 2, 3, 4]
    assert ring.read() == b""
    assert producer.consumed() == 5 * STRIDE
    ring.close()


def test_goes_round(producer: Producer) -> None:
    """The last record before the end of the data is cut in two, and read whole."""
    ring = Ring(producer.fd, SIZE)
    seen: list[int] = []
    total = 3 * SIZE // STRIDE
    for n in range(total):
        producer.put(n)
        if n % 7 == 0:
            seen += starts(ring.read())
    seen += starts(ring.read())
    assert seen == list(range(total))
    ring.close()


def test_stops_at_a_record_that_is_being_written(producer: Producer) -> None:
    ring = Ring(producer.fd, SIZE)
    producer.put(0)
    producer.put(1, BUSY)
    producer.put(2)
    assert starts(ring.read()) == [0]
    producer.commit(1)
    assert starts(ring.read()) == [1, 2]
    ring.close()


def test_leaves_out_what_was_discarded(producer: Producer) -> None:
    ring = Ring(producer.fd, SIZE)
    producer.put(0)
    producer.put(1, DISCARD)
    producer.put(2)
    assert starts(ring.read()) == [0, 2]
    assert producer.consumed() == 3 * STRIDE
    ring.close()


def test_pump_keeps_the_order(producer: Producer) -> None:
    pump = Pump(Ring(producer.fd, SIZE), 0.001)
    seen: list[int] = []
    for n in range(200):
        while producer.position - producer.consumed() > SIZE - 2 * STRIDE:
            seen += starts(pump.read())
        producer.put(n)
    seen += starts(pump.read())
    assert seen == list(range(200))
    pump.close()


_WATCH = """
import mmap, os, sys, time
page = memoryview(mmap.mmap(int(sys.argv[1]), mmap.PAGESIZE, prot=mmap.PROT_READ)).cast("Q")
print("watching", flush=True)
lowest, looks, ends = page[0], 0, time.monotonic() + 2
while time.monotonic() < ends or looks <= 1000:
    for _ in range(1000):
        lowest = min(lowest, page[0])
    looks += 1000
print(lowest, looks)
"""


def test_the_position_never_goes_back(producer: Producer) -> None:
    """The kernel reads it whenever it makes a record, from another processor."""
    ring = Ring(producer.fd, SIZE)
    producer.put(0)
    ring.read()
    with subprocess.Popen([sys.executable, "-c", _WATCH, str(producer.fd)], text=True,
                          stdout=subprocess.PIPE, pass_fds=(producer.fd,)) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        while watcher.poll() is None:
            for _ in range(1000):
                ring.read()
        lowest, looks = map(int, watcher.stdout.read().split())
    assert looks > 1000
    assert lowest == STRIDE
