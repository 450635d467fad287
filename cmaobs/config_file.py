# SPDX-License-Identifier: GPL-2.0
"""The YAML file of settings; its keys and what each may be are in cmaobs.config."""

from __future__ import annotations

from typing import Any

import yaml

from cmaobs import yamlfile
from cmaobs.config import BY_KEY, Option


def read(path: str) -> dict[str, Any]:
    """Values by the attribute of Settings; raises ConfigError."""
    values: dict[str, Any] = {}
    for key, value in yamlfile.pairs(path):
        option = BY_KEY.get(key.value) if isinstance(key, yaml.ScalarNode) else None
        if option is None:
            raise yamlfile.wrong(path, key, str(key.value)[:40], "unknown key", "known are: "
                                 + ", ".join(BY_KEY))
        if option.field in values:
            raise yamlfile.wrong(path, key, option.key, "given twice", "remove one of them")
        values[option.field] = _value(path, option, value)
    return values


def _value(path: str, option: Option, node: yaml.Node) -> Any:
    given = yamlfile.text(path, node, option.key)
    try:
        return option.parse(given)
    except ValueError as error:
        raise yamlfile.wrong(path, node, option.key, f"{error}, got {given[:60]!r}") from error
