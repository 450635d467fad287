# SPDX-License-Identifier: GPL-2.0
"""A device whose second CPU comes and goes while the observer is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.test_faults import allocations, exactly
from kernel.tools import Area, Serve, key_of, load

pytestmark = [pytest.mark.kernel, pytest.mark.long]
CPU1 = Path("/sys/devices/system/cpu/cpu1/online")


@pytest.fixture
def both() -> Iterator[None]:
    """Both CPUs again, whatever a test made of them."""
    assert CPU1.read_text() == "1\n", "the device has one CPU, or its kernel no hotplug"
    yield
    CPU1.write_text("1")


def test_it_starts_with_a_cpu_offline(area: Area, both: None, tmp_path: Path) -> None:
    CPU1.write_text("0")
    with Serve(tmp_path) as serve:
        exactly(area, serve, 4)
        CPU1.write_text("1")
        exactly(area, serve, 4)
        load("--source", "debugfs", "--threads", "2", "--operations", "60", "--rate", "0",
             "--sizes", "1,4")
        assert serve.settled()[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        assert serve.stop() == 0, serve.output()


def test_a_cpu_goes_and_comes_under_load(area: Area, both: None, tmp_path: Path) -> None:
    done, turned = threading.Event(), 0

    def turn() -> None:
        nonlocal turned
        while not done.wait(0.5):
            for state in "01":
                CPU1.write_text(state)
                turned += 1

    turner = threading.Thread(target=turn)
    with Serve(tmp_path) as serve:
        before = allocations(serve.settled())
        turner.start()
        try:
            made = load("--source", "debugfs", "--threads", "3", "--operations", "600", "--rate",
                        "60", "--sizes", "1,4,64", "--lifetime", "0-20")
        finally:
            done.set()
            turner.join()
        after = serve.settled()
        assert turned >= 4
        assert allocations(after) - before == made["allocations"]["succeeded"] == 600
        assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        assert after[key_of("cmaobs_counts_mismatched_total")] == 0
        assert serve.stop() == 0, serve.output()
