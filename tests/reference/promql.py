# SPDX-License-Identifier: GPL-2.0
"""Which metrics and labels a PromQL expression asks for. Enough for this project's own queries."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r'"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf'([a-zA-Z_:][\w:]*)?\s*\{{((?:[^"}}]|{_STRING})*)\}}')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+|ms|[smhdwy])?\b")  # durations included
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left",
          "group_right", "start", "end", "inf", "nan"}


class Asked(NamedTuple):
    """metrics: each metric with the labels that a selector on it names. grouped: labels of by,
    without, on and the like.
    """

    metrics: dict[str, set[str]]
    grouped: set[str]


def asked(expression: str) -> Asked:
    """What an expression asks for; Grafana's variables must have been filled in."""
    metrics: dict[str, set[str]] = {}
    grouped: set[str] = set()
    text = re.sub(r"#.*", "", expression)
    for name, inside in _SELECTOR.findall(text):
        assert name, f"a selector without a metric in {expression}"
        metrics.setdefault(name, set()).update(
            re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(_STRING, '""', inside)))
    text = re.sub(_STRING, "", _SELECTOR.sub(lambda found: f" {found[1]} ", text))
    for _, inside in _GROUPING.findall(text):
        grouped.update(re.findall(r"\w+", inside))
    text = _NUMBER.sub(" ", re.sub(r"\[[^\]]*\]", " ", _GROUPING.sub(" ", text)))
    for name in re.findall(r"[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", text):
        if name.lower() not in _WORDS:
            metrics.setdefault(name, set())
    return Asked(metrics, grouped)
