# SPDX-License-Identifier: GPL-2.0
"""What the system tests ask: a Prometheus that runs here, and processes that are to live."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from reference.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 1200  # for what takes seconds: the device may get little of the processors


def wait_for(what: Callable[[], Any], alive: subprocess.Popen[str], log: Path) -> Any:
    """The first true value of what(), while the process lives."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if value := what():
                return value
        except OSError:
            pass
        assert alive.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


class Prometheus:
    """Asks a Prometheus that runs here."""

    def __init__(self, port: int, process: subprocess.Popen[str], log: Path) -> None:
        self.port = port
        self._url = f"http://127.0.0.1:{port}/api/v1/"
        self._process, self._log = process, log

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer; raises OSError while it does not answer."""
        url = self._url + path + "?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[Any]:
        """Every series that the expression gives now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def numbers(self, expression: str) -> list[float]:
        """The values that are numbers."""
        values = [float(one["value"][1]) for one in self.query(expression)]
        return [value for value in values if math.isfinite(value)]

    def until(self, expression: str) -> list[Any]:
        """What the expression gives, as soon as it gives anything."""
        found: list[Any] = wait_for(lambda: self.query(expression), self._process, self._log)
        return found

    def _given(self, expression: str) -> list[float]:
        with contextlib.suppress(OSError):
            return self.numbers(expression)
        return []

    def until_all_have_data(self, expressions: set[str], log: Path) -> None:
        """Each expression has given a number by the deadline."""
        assert expressions
        deadline = time.monotonic() + DEADLINE_S
        while expressions := {one for one in expressions if not self._given(one)}:
            assert time.monotonic() < deadline, \
                "\n".join(["no data:", *sorted(expressions), log.read_text()])
            time.sleep(1)


@contextlib.contextmanager
def prometheus(directory: Path, config: dict[str, Any], *arguments: str) -> Iterator[Prometheus]:
    """Debian's Prometheus with that configuration, ready."""
    directory.mkdir(exist_ok=True)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    own, log = free_port(), directory / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml",
             f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{own}",
             *arguments], stdout=out, stderr=out, text=True)
    server = Prometheus(own, process, log)
    try:
        server.until("vector(1)")
        yield server
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def shipped(name: str, targets: list[str], every: str = "5s") -> dict[str, Any]:
    """A configuration of deploy/prometheus with its own paths, of these targets."""
    path = ROOT / "deploy" / "prometheus" / name
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    config["global"].update(scrape_interval=every, scrape_timeout=every, evaluation_interval="1s")
    config["rule_files"] = [str(path.parent / file) for file in config.get("rule_files", [])]
    job, = config["scrape_configs"]
    job.pop("file_sd_configs", None)
    job["static_configs"] = [{"targets": targets}]
    return config


@contextlib.contextmanager
def scraping(port: int, directory: Path, every: str = "5s") -> Iterator[Prometheus]:
    """Debian's Prometheus with deploy/prometheus, which has scraped this port."""
    with prometheus(directory, shipped("prometheus.yml", [f"127.0.0.1:{port}"], every)) as server:
        server.until('up{job="cmaobs"} == 1')
        yield server
