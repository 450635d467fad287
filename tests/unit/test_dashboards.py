# SPDX-License-Identifier: GPL-2.0
"""dashboards/: the JSON is what the code makes, panels are complete and ask for what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from reference import promql

from cmaobs.metrics import table
from dashboards import BOARDS
from dashboards.panels import as_json

DIRECTORY = Path(__file__).parents[2] / "dashboards"
TARGET_LABELS = {"job", "instance"}
FILES = {path.stem: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}


def panels(name: str) -> list[dict[str, Any]]:
    """All panels but headings."""
    return [one for one in FILES[name]["panels"] if one["type"] != "row"]


@pytest.mark.parametrize("name", BOARDS)
def test_the_json_is_what_the_code_makes(name: str) -> None:
    assert (DIRECTORY / f"{name}.json").read_text() == as_json(BOARDS[name]()), \
        "python -m dashboards"


def test_there_are_no_other_files() -> None:
    assert set(FILES) == set(BOARDS) == {"fleet", "device", "worth", "wrong"}


@pytest.mark.parametrize("name", BOARDS)
def test_each_panel_is_complete(name: str) -> None:
    shown = panels(name)
    assert len(shown) > 10
    assert len({panel["title"] for panel in shown if panel["type"] != "stat"}) \
        == len([panel for panel in shown if panel["type"] != "stat"])
    for panel in shown:
        what = panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], what
        assert len(panel["description"]) > 15, what
        assert panel["description"].endswith("."), what
        assert panel["targets"], what
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), what


@pytest.mark.parametrize("name", BOARDS)
def test_devices_and_areas_can_be_chosen(name: str) -> None:
    variables = {one["name"]: one for one in FILES[name]["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "area"]
    for one in ("instance", "area"):
        asked, label = re.fullmatch(r"label_values\((.*), (\w+)\)",
                                    variables[one]["query"]).groups()  # type: ignore[union-attr]
        metric, = promql.asked(asked).metrics
        assert label in {*table.labels_of(metric), *TARGET_LABELS}
    assert bool(variables["instance"].get("multi")) == (name != "device")


@pytest.mark.parametrize("name", BOARDS)
def test_queries_ask_only_for_what_exists(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            asked = promql.asked(target["expr"])
            assert asked.metrics, target["expr"]
            known = set(TARGET_LABELS)
            for metric, labels in asked.metrics.items():
                has = TARGET_LABELS | set(table.labels_of(metric))
                assert "instance" in labels, f"not of the device chosen: {target['expr']}"
                assert ("area" in labels) == ("area" in has), target["expr"]
                assert labels <= has, target["expr"]
                known |= has
            assert asked.grouped <= known, target["expr"]
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_lie_on_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in FILES[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
