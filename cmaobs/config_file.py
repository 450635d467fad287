# SPDX-License-Identifier: GPL-2.0
"""The YAML file of settings; its keys and what each may be are in cmaobs.config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cmaobs.config import BY_KEY, Option
from cmaobs.errors import ConfigError

_MAX_FILE = 1 << 20  # bytes


def read(path: str) -> dict[str, Any]:
    """Values by the attribute of Settings; raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ConfigError(f"{path}: larger than 1 MiB", "give a file with settings")
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "give a file that can be read") from error
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "not readable as YAML"
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: {' '.join(str(what).split())}",
                          "write one `key: value` a line") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _wrong(path, root, "", "expected `key: value` lines")
    values: dict[str, Any] = {}
    for key, value in root.value:
        option = BY_KEY.get(key.value) if isinstance(key, yaml.ScalarNode) else None
        if option is None:
            raise _wrong(path, key, str(key.value)[:40], "unknown key", "known are: "
                         + ", ".join(BY_KEY))
        if option.field in values:
            raise _wrong(path, key, option.key, "given twice", "remove one of them")
        values[option.field] = _value(path, option, value)
    return values


def _value(path: str, option: Option, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        kind = "nothing" if isinstance(node, yaml.ScalarNode) else "a collection"
        raise _wrong(path, node, option.key, f"expected one value, got {kind}")
    try:
        return option.parse(node.value)
    except ValueError as error:
        raise _wrong(path, node, option.key, f"{error}, got {node.value[:60]!r}") from error


def _wrong(path: str, node: yaml.Node, key: str, what: str,
           remedy: str = "correct that line, or remove it for the default") -> ConfigError:
    named = f" {key}:" if key else ""
    return ConfigError(f"{path}:{node.start_mark.line + 1}:{named} {what}", remedy)
