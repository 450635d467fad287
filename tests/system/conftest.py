# SPDX-License-Identifier: GPL-2.0
"""One boot of `make run` and one Prometheus that scrapes it, for all tests here."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from system.tools import ROOT, Prometheus, free_port, wait_for


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The device under load, its port on this host, and what it prints."""
    assert os.environ.get("CMAOBS_KERNEL"), "set CMAOBS_KERNEL to the device's kernel"
    log = tmp_path_factory.mktemp("live") / "log"
    port = free_port()
    with log.open("w") as out:
        device = subprocess.Popen(
            [ROOT / "deploy/vm/run", "--forward", str(port), "--append", "cma_defer_batch=64",
             "--", "deploy/vm/live"], cwd=ROOT, stdout=out, stderr=out, text=True,
            env={**os.environ, "CMAOBS_FORWARD": str(port)})
    try:
        wait_for(lambda: "live: ready" in log.read_text(), device, log)
        yield port, log
        device.send_signal(signal.SIGINT)
        assert device.wait(120) == 0, log.read_text()
        text = log.read_text()
        assert "verdict: agree" in text, text
    finally:
        device.kill()
        device.wait()


@pytest.fixture(scope="session")
def prometheus(live: tuple[int, Path],
               tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Debian's Prometheus with deploy/prometheus, but each second and from the device."""
    directory = tmp_path_factory.mktemp("prometheus")
    shipped = ROOT / "deploy" / "prometheus"
    config = yaml.safe_load((shipped / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(shipped / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{live[0]}"]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port, log = free_port(), directory / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml",
             f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=out, stderr=out, text=True)
    server = Prometheus(port)
    try:
        wait_for(lambda: server.query('up{job="cmaobs"} == 1'), process, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)
