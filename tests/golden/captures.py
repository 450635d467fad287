# SPDX-License-Identifier: GPL-2.0
"""Facts of kernels from 5.10 to 7.1: tests/fixtures/facts/.

A capture is made by tests/fixtures/capture-facts.py and says itself where its kernel is from; those
named derived are made of one by derive-facts.py there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmaobs.kernel.facts import Facts

_FACTS = Path(__file__).parents[1] / "fixtures/facts"
NAMES = sorted(path.stem for path in _FACTS.glob("*.json"))


def facts(name: str, **changes: Any) -> Facts:
    """A capture, with fields replaced."""
    return dataclasses.replace(of(_FACTS / f"{name}.json"), **changes)


def of(file: Path) -> Facts:
    """The capture in a file."""
    values = json.loads(file.read_text())
    assert values.pop("source"), "every capture says where it is from"
    values["typed"] = {function: tuple(names) for function, names in values["typed"].items()}
    values["areas"] = None if values["areas"] is None else tuple(values["areas"])
    return Facts(**values)


def without(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping but for these keys, which it has."""
    assert set(names) <= set(mapping), "the capture has what is taken away"
    return {key: value for key, value in mapping.items() if key not in names}
