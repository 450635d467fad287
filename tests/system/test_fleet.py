# SPDX-License-Identifier: GPL-2.0
"""deploy/prometheus/fleet: a site's Prometheus sends on, and a central one asks; both real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from golden import samples
from page.served import Site

from system.tools import Prometheus, prometheus, shipped

pytestmark = pytest.mark.vm
PER_AREA, OWN = 48, 25  # series, as docs/prometheus.md has it


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, ...]]:
    """The site, what it sends to, and what asks it."""
    directory = tmp_path_factory.mktemp("fleet")
    device = Site()
    device.view = samples.view()
    site_config = shipped("fleet/site.yml", [device.url.removeprefix("http://").rstrip("/")])
    received = prometheus(directory / "received", {}, "--web.enable-remote-write-receiver")
    with received as receiver:
        way, = site_config["remote_write"]
        assert way["url"].endswith("/api/v1/push")
        way["url"] = f"http://127.0.0.1:{receiver.port}/api/v1/write"
        with prometheus(directory / "site", site_config) as site:
            asking = shipped("fleet/central.yml", [f"127.0.0.1:{site.port}"])
            with prometheus(directory / "central", asking) as central:
                yield site, receiver, central
    device.stop()


def values(found: list[Any]) -> dict[tuple[str, str], float]:
    """By area and path."""
    return {(one["metric"].get("area", ""), one["metric"].get("path", "")):
            float(one["value"][1]) for one in found}


def test_what_is_sent_is_what_was_scraped(places: tuple[Prometheus, ...]) -> None:
    site, receiver, _ = places
    scraped = values(site.until("cma_alloc_total"))
    # sent series by series
    receiver.until(f'count(cma_alloc_total{{site="harbour", job="cmaobs"}}) >= {len(scraped)}')
    sent = values(receiver.query('cma_alloc_total{site="harbour", job="cmaobs"}'))
    assert sent == scraped
    assert sum(sent.values()) > 0
    assert receiver.until('cmaobs_model_verdict{site="harbour"} == 1')
    assert receiver.until('instance_area:cma_allocated:ratio{site="harbour"}')
    assert not receiver.query("cma_alloc_duration_seconds_bucket")


def test_a_device_is_so_many_series_there(places: tuple[Prometheus, ...]) -> None:
    site, receiver, _ = places
    receiver.until('instance_area:cma_alloc:rate5m{site="harbour"}')
    receiver.until(f'count({{site="harbour"}}) > {PER_AREA}')
    sent, = receiver.numbers('count({site="harbour"})')
    areas, = receiver.numbers('count(cma_area_pages{site="harbour"})')
    assert areas == 2
    assert PER_AREA < sent < areas * PER_AREA + OWN
    assert site.numbers('count({job="cmaobs"})')[0] > 5 * sent


def test_a_central_one_asks_for_as_much(places: tuple[Prometheus, ...]) -> None:
    site, _, central = places
    asked = values(central.until('cma_area_pages{site="harbour", job="cmaobs"}'))
    assert asked == values(site.query("cma_area_pages"))
    instance, = {one["metric"]["instance"] for one in central.until('up{job="cmaobs"} == 1')}
    assert instance == site.query('up{job="cmaobs"}')[0]["metric"]["instance"]
    assert central.until('instance_area:cma_clear:ratio{site="harbour"}')
    assert not central.query("cma_alloc_duration_seconds_bucket")
