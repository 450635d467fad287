# SPDX-License-Identifier: GPL-2.0
"""One boot of `make run` and one Prometheus that scrapes it, for all tests here."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reference.ports import free_port

from system.tools import ROOT, Prometheus, scraping, wait_for


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The device under load, its port on this host, and what it prints."""
    assert os.environ.get("CMAOBS_KERNEL"), "set CMAOBS_KERNEL to the device's kernel"
    log = tmp_path_factory.mktemp("live") / "log"
    port = free_port()
    with log.open("w") as out:
        device = subprocess.Popen(
            [ROOT / "deploy/vm/run", "--forward", str(port), "--append", "cma_defer_batch=64",
             "--boot-timeout", "900", "--", "deploy/vm/live", "--phases", "yes"],
            cwd=ROOT, stdout=out, stderr=out, text=True,
            env={**os.environ, "CMAOBS_FORWARD": str(port)})
    try:
        wait_for(lambda: "live: ready" in log.read_text(), device, log)
        yield port, log
        device.send_signal(signal.SIGINT)
        assert device.wait(600) == 0, log.read_text()
        text = log.read_text()
        assert "verdict: agree" in text, text
    finally:
        device.kill()
        device.wait()


@pytest.fixture(scope="session")
def prometheus(live: tuple[int, Path],
               tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It scrapes the device, as often as it is shipped to do.

    More often none may come to its end: an emulated device on a busy machine takes its time.
    """
    with scraping(live[0], tmp_path_factory.mktemp("prometheus"), "15s") as server:
        yield server
