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


@pytest.mark.parametrize(("first", "least", "most"), [
    ("", 10 << 10, 20 << 10),
    ("from cmaobs import memory; memory.steady()", -1 << 10, 1 << 10),
])
def test_a_burst_is_given_back(first: str, least: int, most: int) -> None:
    """Without it the heap keeps the burst: so this would notice if it did nothing."""
    done = subprocess.run([sys.executable, "-c", _BURSTS.format(first=first)], check=True,
                          cwd=ROOT, env={"PYTHONPATH": ".:tests"}, capture_output=True, text=True)
    assert least <= int(done.stdout) <= most
