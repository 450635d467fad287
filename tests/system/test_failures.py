# SPDX-License-Identifier: GPL-2.0
"""A real Prometheus that scrapes a recording of failures, busy pages and phases as it goes on.

A panel of zeros is data, too: what these panels and rules show must have been provoked.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from page.served import Site

from cmaobs.commands import running
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.state import Reading
from system.tools import ROOT, Prometheus, scraping

pytestmark = pytest.mark.vm
_RECORDING = ROOT / "docs" / "tutorial" / "failing.cmarec"
_ABOUT = re.compile("failure_causes|alloc_retr|alloc_phase|alloc_moved")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """It, once it has seen all of the recording, and the address that it scrapes."""
    source = RecordingSource(str(_RECORDING))
    observer = Observer(source, running.checker(source), follow=True)
    site, over = Site(), threading.Event()
    steps = (observer.view for step in observer.steps() if isinstance(step, Reading))
    site.view = next(steps)
    address = site.url.removeprefix("http://").rstrip("/")
    try:
        with scraping(int(address.rpartition(":")[2]), tmp_path_factory.mktemp("p")) as server:
            for site.view in steps:
                over.wait(1)
            over.wait(3)
            yield server, address
    finally:
        site.stop()
        source.close()


def test_every_query_about_failures_and_phases_has_data(
        recorded: tuple[Prometheus, str], tmp_path: Path) -> None:
    server, address = recorded
    filled = set()
    for file in (ROOT / "dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            filled |= {target["expr"].replace("$instance", address).replace("$area", ".+")
                       .replace("$__rate_interval", "1m")
                       for target in panel.get("targets", ()) if _ABOUT.search(target["expr"])}
    assert len(filled) >= 10
    (tmp_path / "log").write_text("")
    server.until_all_have_data(filled, tmp_path / "log")


def test_what_was_provoked_is_not_zero(
        recorded: tuple[Prometheus, str], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    recorded[0].until_all_have_data({f"{expression} > 0" for expression in (
        *(f'instance_area_cause:cma_alloc_failed:rate5m{{cause="{cause}"}}'
          for cause in ("busy", "fragmented", "no_room", "oversize")),
        "rate(cma_alloc_retries_total[5m])", "instance_area:cma_alloc_retried:ratio_rate5m",
        *(f'instance_area_phase:cma_alloc_phase:ratio_rate5m{{phase="{phase}"}}'
          for phase in ("flushing", "isolating", "draining", "reclaiming", "migrating",
                        "unexplained")),
        'rate(cma_alloc_moved_pages_total{what="migrated"}[5m])')}, tmp_path / "log")
