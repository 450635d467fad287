# SPDX-License-Identifier: GPL-2.0
"""Memory pressure: a process that says when memory is full, and how fast it fills."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

import pytest

from cmaobs.load import pressure as pressure_module
from cmaobs.load.pressure import Pace, Pressure


class Chunks:
    """What a pressure fills, which is another process; only the first ones are real memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._real = pressure_module._chunk
        monkeypatch.setattr(pressure_module, "_chunk", self._fill)

    def _fill(self, kind: str) -> mmap.mmap:
        time.sleep(0.001)
        self._counts[0] += 1
        return self._real(kind) if self._counts[0] < 8 else mmap.mmap(-1, mmap.PAGESIZE)

    def more(self) -> None:
        """Wait until another is filled."""
        before, deadline = self._counts[0], time.monotonic() + 300
        while self._counts[0] == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_pressure_says_when_it_is_full_and_how_fast_it_fills(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MemAvailable, which falls below the floor and rises again, is what the test writes."""
    meminfo = tmp_path / "proc/meminfo"
    meminfo.parent.mkdir()

    def available(mib: int) -> None:
        text = f"MemTotal: 1000000 kB\nMemAvailable: {mib << 10} kB\n"
        meminfo.with_suffix(".new").write_text(text)
        meminfo.with_suffix(".new").replace(meminfo)

    available(320)
    chunks = Chunks(monkeypatch)
    pressure = Pressure(tmp_path, "anon", 300 << 20, Pace(0.0, 0.125, 0.01))
    try:
        chunks.more()
        assert not pressure.await_full(0.1)
        available(300)
        assert pressure.await_full(300)
        available(320)
        chunks.more()
    finally:
        told = pressure.stop()
    assert told["ended"] == "as told"
    assert told["filled"] > told["refilled"] > 0
    assert told["refilling_s"] > 0
    assert told["rounds"] > 0
