# SPDX-License-Identifier: GPL-2.0
"""Seeded workloads of different kinds: the same actions each time, whatever the kernel answers.

Each thread is a generator of actions. Pages, seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple


class Alloc(NamedTuple):
    """Ask for pages; key names what comes of it."""

    key: int
    pages: int


class Free(NamedTuple):
    """Give back what key names, if it was granted."""

    key: int


class Sleep(NamedTuple):
    """Wait."""

    seconds: float


class Scan(NamedTuple):
    """Write to the shrinker's scan file."""

    pages: int


Action = Alloc | Free | Sleep | Scan
Script = Iterator[Action]


class Load(NamedTuple):
    """threads: each made of a Random of its own. floor: reclaim is at work; memory is filled down
    to that many MiB, and files are read through the rest.
    """

    name: str
    what: str
    threads: int
    script: Callable[[Random], Script]
    floor: int = 0


def camera(random: Random) -> Script:
    """Four large buffers, held while it streams, and given back when it stops."""
    for _ in range(45):
        for key in range(4):
            yield Alloc(key, 768)
        yield Sleep(random.uniform(0.01, 0.04))
        for key in range(4):
            yield Free(key)
        yield Sleep(random.uniform(0.005, 0.02))


def ping_pong(random: Random) -> Script:
    """Two buffers in turn, as a decoder that is given a new one for each picture."""
    del random
    for frame in range(250):
        yield Alloc(frame % 2, 128)
        yield Sleep(0.008)
        yield Free((frame + 1) % 2)


def mixed(random: Random) -> Script:
    """Sizes of many clients, up to 12 held, given back in any order."""
    held: list[int] = []
    for key in range(250):
        yield Alloc(key, random.choice((1, 4, 4, 16, 16, 64, 256)))
        held.append(key)
        while len(held) > random.randint(0, 12):
            yield Free(held.pop(random.randrange(len(held))))
        yield Sleep(0.004)
    for key in held:
        yield Free(key)


def fragmenting(random: Random) -> Script:
    """Odd sizes that live for very different times: holes."""
    held: list[int] = []
    for key in range(300):
        yield Alloc(key, random.randint(1, 63))
        held.append(key)
        if len(held) > 80 or random.random() < 0.3:
            yield Free(held.pop(random.randrange(len(held))))
        yield Sleep(0.003)
    for key in held:
        yield Free(key)


def threads(random: Random) -> Script:
    """One of several threads, that know nothing of each other."""
    for key in range(45):
        yield Alloc(key % 3, random.choice((4, 16, 64)))
        yield Sleep(random.uniform(0.005, 0.04))
        if key >= 2:
            yield Free((key + 1) % 3)
        yield Sleep(random.uniform(0.005, 0.04))


def bursts(random: Random) -> Script:
    """Thirty buffers as fast as can be, then nothing, then all are given back."""
    for _ in range(9):
        for key in range(30):
            yield Alloc(key, random.choice((16, 32, 64, 128)))
        yield Sleep(0.1)
        for key in random.sample(range(30), 30):
            yield Free(key)
        yield Sleep(0.05)


def growing(random: Random) -> Script:
    """Each buffer is larger than the one before: no extent ever holds it."""
    for key in range(200):
        yield Alloc(key, 8 + 2 * key)
        yield Sleep(random.uniform(0.001, 0.006))
        yield Free(key)


def scanned(random: Random) -> Script:
    """Two sizes in turn, with scans of the shrinker, some below each batch."""
    for frame in range(250):
        yield Alloc(frame % 4, (64, 256)[frame % 2])
        yield Sleep(0.004)
        yield Free((frame + 1) % 4)
        if frame % 5 == 0:
            yield Scan(random.choice((24, 48, 96, 192, 700)))


def idling(random: Random) -> Script:
    """Four buffers for a moment, then none for longer: reclaim finds what they left."""
    for _ in range(60):
        for key in range(4):
            yield Alloc(key, 192)
        yield Sleep(0.01)
        for key in range(4):
            yield Free(key)
        yield Sleep(random.uniform(0.02, 0.08))


LOADS = (
    Load("camera", "4 large buffers held, then all given back, 45 times", 1, camera),
    Load("ping-pong", "two buffers in turn", 1, ping_pong),
    Load("mixed", "sizes 1 to 256, up to 12 held, any order", 1, mixed),
    Load("fragmenting", "odd sizes with very different lives", 1, fragmenting),
    Load("scans", "two sizes, and scans of 24 to 700 pages", 1, scanned),
    Load("pressure", "4 buffers now and then while reclaim is at work", 1, idling, floor=64),
    Load("threads", "8 threads that know nothing of each other", 8, threads),
    Load("bursts", "30 buffers at once, 9 times", 1, bursts),
    Load("growing", "each larger than the one before: nothing to gain", 1, growing),
)


def figures(random: Random) -> Script:
    """For the figures that come with the package: each size again and again, and nothing else."""
    sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    for round_ in range(30):
        random.shuffle(sizes)
        for size in sizes:
            for _ in range(3):
                yield Alloc(0, size)
                yield Free(0)
            yield Sleep(0.002 if round_ % 2 else 0.0)


FIGURES = (Load("figures", "each size again and again", 1, figures),
           Load("crowd", "each size again and again, by 3 threads", 3, figures))
