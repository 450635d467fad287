# SPDX-License-Identifier: GPL-2.0
"""Serve metrics of the running kernel to Prometheus, and a page to people.

The page at / is for people: areas, durations, holders, verdict. Beside it are /metrics, /healthz
(alive and polling) and /readyz (probes armed, first reading made).
Listens on 127.0.0.1:9759 unless told otherwise. Needs root. A summary with the verdict ends it.
"""

from __future__ import annotations

import argparse
import time

from prometheus_client import CollectorRegistry, ProcessCollector

from cmaobs import config, report
from cmaobs.commands import running
from cmaobs.observe import Observer
from cmaobs.server import Health, Server
from cmaobs.view import View

EXAMPLES = """examples:
  cmaobs serve
  cmaobs serve --status --duration 1m
  cmaobs serve --listen 0.0.0.0:9759 --config /etc/cmaobs.yaml
  curl -s http://127.0.0.1:9759/metrics | grep cma_alloc_total
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, ("listen", *running.LIVE, *running.JUDGED, "record", "max-size",
                              "status"))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    settings = config.settings(args)
    store = running.store(settings)
    health = Health(max(10.0, 3 * settings.interval))
    observer: Observer | None = None
    starting = View({}, ())
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    # The server first: a port in use shows before the probes are compiled.
    with running.Stop(settings.duration) as stop, Server(
            settings.listen, lambda: observer.view if observer else starting, health,
            registry) as server:
        running.say(f"serving http://{server.address}/metrics; attaching")
        source = running.open_live(settings)
        try:
            with running.tee(settings, source) as writer:
                observer = running.observed(settings, source, writer, store)
                running.say("attached; Ctrl-C ends it")
                stop.begin()
                _loop(observer, stop, health, settings.status)
        finally:
            source.close()
    running.print_summary(observer.view, args.json)
    return running.exit_status(observer.view)


def _loop(observer: Observer, stop: running.Stop, health: Health,
          status_s: float | None) -> None:
    due = time.monotonic() + (status_s or 0)
    for _ in observer.steps(stop):
        health.beat()
        if status_s is not None and time.monotonic() >= due:
            due = time.monotonic() + status_s
            running.say(time.strftime("%H:%M:%S  ")
                        + report.status_line(report.summary(observer.view)))
