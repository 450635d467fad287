# SPDX-License-Identifier: GPL-2.0
"""Serve metrics of the running kernel to Prometheus, and a page to people.

The page at / is for people: areas, durations, holders, verdict. Beside it are /metrics, /healthz
(alive and polling) and /readyz (probes armed, first reading made).
Listens on 127.0.0.1:9759 unless told otherwise. Needs root. A summary with the verdict ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import time

from prometheus_client import CollectorRegistry, ProcessCollector

from cmaobs import config, report
from cmaobs.commands import running
from cmaobs.errors import UsageError
from cmaobs.observe import Observer
from cmaobs.server import Health, Server
from cmaobs.view import View
from cmaobs.web import Gate

EXAMPLES = """examples:
  cmaobs serve
  cmaobs serve --status --duration 1m
  cmaobs serve --listen 0.0.0.0:9759 --config /etc/cmaobs.yaml
  curl -s http://127.0.0.1:9759/metrics | grep cma_alloc_total
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, ("listen", *running.LIVE, *running.JUDGED, "record", "max-size",
                              "status", "web-config", "user", "max-rate"))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    settings = config.settings(args)
    _check(settings)
    store = None if settings.user else running.store(settings)
    health = Health(max(10.0, 3 * settings.interval))
    gate = Gate(settings.web_config, running.say) if settings.web_config else None
    observer: Observer | None = None
    starting = View({}, ())
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    # Listening comes first: a port in use shows before the probes are compiled.
    server = Server(settings.listen, lambda: observer.view if observer else starting, health,
                    registry, gate)
    url = f"{'https' if gate and gate.tls else 'http'}://{server.address}/metrics"
    with running.Stop(settings.duration) as stop, contextlib.ExitStack() as serving:
        serving.callback(server.close)
        if settings.user is None:
            serving.enter_context(server)
            running.say(f"serving {url}; attaching")
        source = running.open_live(settings)
        try:
            if settings.user is not None:
                running.drop_privileges(source, settings.user)
                store = running.store(settings)
                serving.enter_context(server)
                running.say(f"serving {url} as {settings.user}, without privileges")
            with running.tee(settings, source) as writer:
                observer = running.observed(settings, source, writer, store)
                running.say("attached; Ctrl-C ends it")
                stop.begin()
                _loop(observer, stop, health, settings.status)
        finally:
            source.close()
    running.print_summary(observer.view, args.json)
    return running.exit_status(observer.view)


def _check(settings: config.Settings) -> None:
    """Raises UsageError for what cannot work together, before the probes are compiled."""
    if settings.user is None:
        return
    from cmaobs.kernel import privileges
    privileges.user(settings.user)
    if settings.buffers is not None:
        raise UsageError(f"--buffers looks into all processes, which {settings.user} may not",
                         "leave out --buffers, or --user")


def _loop(observer: Observer, stop: running.Stop, health: Health,
          status_s: float | None) -> None:
    due = time.monotonic() + (status_s or 0)
    for _ in observer.steps(stop):
        health.beat()
        if status_s is not None and time.monotonic() >= due:
            due = time.monotonic() + status_s
            running.say(time.strftime("%H:%M:%S  ")
                        + report.status_line(report.summary(observer.view)))
