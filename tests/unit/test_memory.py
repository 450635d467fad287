# SPDX-License-Identifier: GPL-2.0
"""What is freed goes back to the kernel, though large blocks were freed before."""

from __future__ import annotations

import subprocess
import sys

import pytest
from golden.cli import ROOT

# Eight large blocks that are freed, then eight not quite so large, each with one behind it
# that lives on.
_BURSTS = """
import ctypes
from soak.watch import rss_kib
import os
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def burst(size, small):
    blocks = []
    for _ in range(8):
        block = libc.malloc(size)
        ctypes.memset(ctypes.c_void_p(block), 1, size)
        blocks.append(block)
        if small:
            libc.malloc(100 << 10)
    for block in blocks:
        libc.free(block)
burst(2 << 20, False)
before = rss_kib(os.getpid())
burst(2000000, True)
print(rss_kib(os.getpid()) - before)
"""


# A thousand blocks of 16 KiB, of which each hundredth lives on.
_HOLES = """
import ctypes, os
from soak.watch import rss_kib
from cmaobs import memory
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
before = rss_kib(os.getpid())
blocks = [libc.malloc(16 << 10) for _ in range(1000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 16 << 10)
for number, block in enumerate(blocks):
    if number % 100 != 99:
        libc.free(block)
held = rss_kib(os.getpid()) - before
memory.give_back()
print(held, rss_kib(os.getpid()) - before)
"""


def test_what_is_free_between_what_is_not_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLES], check=True, cwd=ROOT,
                          env={"PYTHONPATH": ".:tests"}, capture_output=True, text=True)
    held, after = map(int, done.stdout.split())
    assert held > 14 << 10
    assert after < 4 << 10


@pytest.mark.parametrize(("first", "least", "most"), [
    ("", 10 << 10, 20 << 10),
    ("from cmaobs import memory; memory.steady()", -1 << 10, 1 << 10),
])
def test_a_burst_is_given_back(first: str, least: int, most: int) -> None:
    """Without it the heap keeps the burst: so this would notice if it did nothing."""
    done = subprocess.run([sys.executable, "-c", _BURSTS.format(first=first)], check=True,
                          cwd=ROOT, env={"PYTHONPATH": ".:tests"}, capture_output=True, text=True)
    assert least <= int(done.stdout) <= most
