# SPDX-License-Identifier: GPL-2.0
"""Every query of every dashboard, on a real Prometheus that scrapes the device under load."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from system.tools import ROOT, Prometheus

pytestmark = pytest.mark.vm
FILES = sorted((ROOT / "dashboards").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_has_data(file: Path, prometheus: Prometheus, live: tuple[int, Path]) -> None:
    values = {"$instance": re.escape(f"127.0.0.1:{live[0]}").replace("\\", "\\\\"), "$area": ".+",
              "$__rate_interval": "2m", "$__range": "1h"}
    filled = set()
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            assert "$" not in expression
            filled.add(expression)
    assert len(filled) > 10
    prometheus.until_all_have_data(filled, live[1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_variables_offer_the_device_and_its_areas(
        file: Path, prometheus: Prometheus, live: tuple[int, Path]) -> None:
    offered = {}
    for variable in json.loads(file.read_text())["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable.get("query")))
        if found:
            series = prometheus.get(
                "series", **{"match[]": found[1].replace("$instance", ".+")})
            offered[variable["name"]] = {one[found[2]] for one in series}
    assert offered == {"instance": {f"127.0.0.1:{live[0]}"}, "area": {"reserved"}}
