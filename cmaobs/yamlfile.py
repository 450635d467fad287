# SPDX-License-Identifier: GPL-2.0
"""YAML files that people write: read with line numbers, complained about by file, line and key."""

from __future__ import annotations

from pathlib import Path

import yaml

from cmaobs.errors import ConfigError

_MAX_FILE = 1 << 20

Pairs = list[tuple[yaml.Node, yaml.Node]]


def pairs(path: str) -> Pairs:
    """Keys and values of the file's one mapping, none for an empty file; raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ConfigError(f"{path}: larger than 1 MiB", "give a file with settings")
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "give a file that can be read") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "not readable as YAML"
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: {' '.join(str(what).split())}",
                          "write one `key: value` a line") from error
    return [] if root is None else mapping(path, root, "")


def mapping(path: str, node: yaml.Node, key: str) -> Pairs:
    """The pairs of a node that must be a mapping; raises ConfigError."""
    if not isinstance(node, yaml.MappingNode):
        raise wrong(path, node, key, "expected `key: value` lines")
    found: Pairs = node.value
    return found


def text(path: str, node: yaml.Node, key: str) -> str:
    """The text of a node that must be one value; raises ConfigError."""
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        kind = "nothing" if isinstance(node, yaml.ScalarNode) else "a collection"
        raise wrong(path, node, key, f"expected one value, got {kind}")
    return str(node.value)


def wrong(path: str, node: yaml.Node, key: str, what: str,
          remedy: str = "correct that line, or remove it for the default") -> ConfigError:
    """The error of a node, to be raised."""
    named = f" {key}:" if key else ""
    return ConfigError(f"{path}:{node.start_mark.line + 1}:{named} {what}", remedy)
