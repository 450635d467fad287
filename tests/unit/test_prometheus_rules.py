# SPDX-License-Identifier: GPL-2.0
"""deploy/prometheus: what promtool says of it, alerts firing and not, and names that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from reference import promql

from cmaobs.cli import COMMANDS
from cmaobs.metrics import table

DIRECTORY = Path(__file__).parents[2] / "deploy" / "prometheus"
TARGET_LABELS = {"job", "instance"}
CASES = sorted(path.name for path in (DIRECTORY / "tests").glob("*.yml"))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt-get install prometheus"
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, check=False)


def rules(file: str, kind: str) -> dict[str, dict[str, Any]]:
    """Rules by their name; kind is record or alert."""
    groups = yaml.safe_load((DIRECTORY / file).read_text())["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len({rule[kind] for rule in found}) == len(found)
    return {rule[kind]: rule for rule in found}


RECORDED = rules("rules.yml", "record")
ALERTS = rules("alerts.yml", "alert")


def labels_of(metric: str) -> set[str]:
    """The labels that a series of this name has here, recorded ones included."""
    if metric == "up":
        return TARGET_LABELS
    if metric in RECORDED:
        return TARGET_LABELS | set(metric.partition(":")[0].split("_"))
    return TARGET_LABELS | set(table.labels_of(metric))


def cases(name: str, alert: str = "") -> dict[str, Any]:
    """A test file, with the runbook of each expected alert; of one alert only, if it is given."""
    data: dict[str, Any] = yaml.safe_load((DIRECTORY / "tests" / name).read_text())
    data["tests"] = [test for test in data["tests"]
                     if alert in ("", *(one["alertname"] for one in test["alert_rule_test"]))]
    for test in data["tests"]:
        for check in test["alert_rule_test"]:
            for expected in check["exp_alerts"]:
                runbook = ALERTS[check["alertname"]]["annotations"]["runbook"]
                expected["exp_annotations"] = {**expected["exp_annotations"], "runbook": runbook}
    return data


def run_cases(name: str, directory: Path, alert: str = "", expr: str = "") -> str:
    """What is wrong with a test file, empty if nothing; with one alert's expression replaced."""
    alerts = yaml.safe_load((DIRECTORY / "alerts.yml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = expr
    (directory / "rules.yml").write_text((DIRECTORY / "rules.yml").read_text())
    (directory / "alerts.yml").write_text(yaml.safe_dump(alerts))
    data = cases(name, alert) | {"rule_files": ["rules.yml", "alerts.yml"]}
    (directory / name).write_text(yaml.safe_dump(data))
    done = promtool("test", "rules", directory / name)
    assert (done.returncode == 0) == ("SUCCESS" in done.stdout), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("what", "file"), [
    ("config", "prometheus.yml"), ("config", "fleet/site.yml"),
    ("config", "fleet/central.yml"), ("rules", "rules.yml"), ("rules", "alerts.yml")])
def test_promtool_accepts(what: str, file: str) -> None:
    done = promtool("check", what, DIRECTORY / file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_alerts_fire_and_do_not_fire(name: str, tmp_path: Path) -> None:
    assert not (wrong := run_cases(name, tmp_path)), wrong


def test_each_alert_is_tested_both_ways() -> None:
    fires, silent = set(), set()
    for name in CASES:
        for test in cases(name)["tests"]:
            for check in test["alert_rule_test"]:
                (fires if check["exp_alerts"] else silent).add(check["alertname"])
    assert fires == silent == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_cases_notice_an_alert_that_always_or_never_fires(alert: str, tmp_path: Path) -> None:
    name, = [case for case in CASES if alert in (DIRECTORY / "tests" / case).read_text()]
    expression = ALERTS[alert]["expr"]
    assert "exp:" in run_cases(name, tmp_path, alert, f"({expression}) * 0 == 1")
    metric = next(iter(promql.asked(expression).metrics))
    assert "got:" in run_cases(name, tmp_path, alert, metric)


@pytest.mark.parametrize("rule", [*RECORDED.values(), *ALERTS.values()],
                         ids=[*RECORDED, *ALERTS])
def test_rules_ask_only_for_what_exists(rule: dict[str, Any]) -> None:
    asked = promql.asked(rule["expr"])
    assert asked.metrics
    known = set(TARGET_LABELS)
    for metric, labels in asked.metrics.items():
        assert labels <= labels_of(metric), metric
        known |= labels_of(metric)
    assert asked.grouped <= known


def test_what_is_asked_is_found_in_expressions() -> None:
    """The helper that the test above rests on."""
    found = promql.asked('1 - sum without (a) (rate(x_total{b="}c",d=~"e"}[5m]))'
                         " / on (job) group_left () (x:y:z offset 2h > 0) and time() - w > 3e2")
    assert found.metrics == {"x_total": {"b", "d"}, "x:y:z": set(), "w": set()}
    assert found.grouped == {"a", "job"}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_tells_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook"}
    runbook = annotations["runbook"]
    assert "{{" not in runbook, "promtool's cases compare it as it stands"
    steps = [line.partition(".")[0] for line in runbook.splitlines() if line[0].isdigit()]
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert len(steps) >= 2
    for command in re.findall(r"`cmaobs (\w+)", runbook):
        assert command in COMMANDS
    for metric in re.findall(r"\b(?:cma|cmaobs)_\w+\b(?!\()|\w+:\w+:\w+", runbook):
        assert labels_of(metric)


def test_the_document_names_each_alert_and_how_long_it_waits() -> None:
    text = (DIRECTORY.parents[1] / "docs" / "prometheus.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, re.MULTILINE))
    assert rows == {name: rule["for"].replace("m", " min") if "for" in rule else "at once"
                    for name, rule in ALERTS.items()}
