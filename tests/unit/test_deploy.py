# SPDX-License-Identifier: GPL-2.0
"""What deploy/ gives to others: manifests, the unit, the image; and that there is one version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes.client.models as kinds
import pytest
import yaml

import cmaobs
from cmaobs import config, config_file
from cmaobs.metrics import table

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
PROMETHEUS = ROOT / "deploy/prometheus"
UNIT = ROOT / "deploy/systemd/cmaobs.service"
# The official client's, made from the API's schema; what they do not know, they refuse.
TYPES = {"DaemonSet": kinds.V1DaemonSet, "Namespace": kinds.V1Namespace,
         "NetworkPolicy": kinds.V1NetworkPolicy}
# Attaching, and giving it up; tests/kernel/test_privileges.py has the first three.
CAPABILITIES = ["BPF", "PERFMON", "SYSLOG", "SETUID", "SETGID", "SETPCAP"]


def _manifest(name: str) -> Any:
    return yaml.safe_load((MANIFESTS / name).read_text())


@pytest.mark.parametrize("name", ["daemonset.yaml", "namespace.yaml", "networkpolicy.yaml"])
def test_manifests_are_of_kubernetes_own_types(name: str) -> None:
    value = _manifest(name)
    TYPES[value["kind"]].model_validate(value)


def test_what_is_misspelt_or_missing_in_a_manifest_is_found() -> None:
    value = _manifest("daemonset.yaml")
    context = value["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    context["readOnlyRootFileSystem"] = True
    with pytest.raises(ValueError, match="readOnlyRootFileSystem"):
        kinds.V1DaemonSet.model_validate(value)
    del context["readOnlyRootFileSystem"], value["spec"]["selector"]
    with pytest.raises(ValueError, match="selector"):
        kinds.V1DaemonSet.model_validate(value)


def test_kustomize_has_all_of_them_and_the_version() -> None:
    value = _manifest("kustomization.yaml")
    assert sorted(value["resources"]) == sorted(
        path.name for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml")
    assert value["images"] == [{"name": "cmaobs", "newTag": cmaobs.__version__}]


def test_the_pod_is_as_small_as_it_can_be() -> None:
    spec = _manifest("daemonset.yaml")["spec"]["template"]["spec"]
    container, = spec["containers"]
    context = container["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": CAPABILITIES}
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert not {"hostPID", "hostNetwork", "hostIPC"} & spec.keys()
    assert all(mount["readOnly"] for mount in container["volumeMounts"]
               if mount["name"] in ("modules", "headers"))


def test_every_way_to_start_it_has_arguments_that_it_knows() -> None:
    container = (ROOT / "deploy/container/Containerfile").read_text()
    words = re.findall(r'^CMD (\[.*\])$', container, re.MULTILINE)
    pod = _manifest("daemonset.yaml")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert yaml.safe_load(words[0]) == pod
    caps = re.search(r"--cap-add=(\S+)", container)
    assert caps
    assert caps[1].split(",") == CAPABILITIES
    unit = re.search(r"^ExecStart=/usr/bin/cmaobs (.*)$", UNIT.read_text(), re.MULTILINE)
    assert unit
    for given in (pod, unit[1].split()):
        flags = [word for word in given[1:] if word.startswith("--")]
        assert given[0] == "serve"
        assert {flag[2:] for flag in flags} <= {*config.BY_KEY, "config"}


def test_the_default_configuration_is_one(tmp_path: Path) -> None:
    text = (ROOT / "deploy/systemd/cmaobs.yaml").read_text()
    path = tmp_path / "cmaobs.yaml"
    path.write_text(text)
    assert config_file.read(str(path)) == {}
    path.write_text(re.sub(r"^#(\w[\w-]*: )", r"\1", text, flags=re.MULTILINE))
    assert set(config_file.read(str(path))) == {"web_config", "evidence"}


def test_the_unit_is_exposed_less_than_2() -> None:
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(UNIT)],
                          capture_output=True, text=True)
    score = re.search(r"exposure level for cmaobs.service: ([\d.]+)", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score[1]) < 2.0
    assert f"{score[1]}, as `systemd-analyze security` has it" in \
        (ROOT / "SECURITY.md").read_text()


def test_there_is_one_version(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import importlib.metadata as m; "
                           "print(m.version('cmaobs'))"], capture_output=True, text=True,
                          check=True, cwd=tmp_path)
    assert done.stdout.strip() == cmaobs.__version__
    assert cmaobs.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_the_kernel_fragment_is_part_of_what_is_observed_here() -> None:
    wanted = _options(ROOT / "deploy/embedded/cmaobs.cfg")
    assert len(wanted) > 15
    assert wanted <= _options(ROOT / "deploy/kernel/config")


def _options(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line.startswith("CONFIG_")}


def test_what_a_fleet_is_sent_exists() -> None:
    """Names of series in deploy/prometheus/fleet: metrics of ours, or recorded by the rules."""
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"]}
    names = {metric.name for metric in table.METRICS} | recorded
    site = yaml.safe_load((PROMETHEUS / "fleet/site.yml").read_text())
    sent = site["remote_write"][0]["write_relabel_configs"][0]["regex"].split("|")
    assert len(sent) > 5
    for one in set(sent) - {"up", "ALERTS"}:
        assert any(re.fullmatch(one, name) for name in names), one
    central = yaml.safe_load((PROMETHEUS / "fleet/central.yml").read_text())
    for match in central["scrape_configs"][0]["params"]["match[]"]:
        for pattern in re.findall(r'__name__=~"([^"]+)"', match):
            for one in pattern.split("|"):
                assert any(re.fullmatch(one, name) for name in names), one


def test_the_collector_scrapes_and_sends_by_one_pipeline() -> None:
    value = yaml.safe_load((PROMETHEUS / "fleet/otel.yml").read_text())
    for kind in ("receivers", "processors", "exporters"):
        assert list(value[kind]) == value["service"]["pipelines"]["metrics"][kind]
    job, = value["receivers"]["prometheus"]["config"]["scrape_configs"]
    shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"][0]
    assert (job["job_name"], job["static_configs"]) == (
        shipped["job_name"], shipped["static_configs"])
