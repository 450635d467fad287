# SPDX-License-Identifier: GPL-2.0
"""JSON values that nobody vouches for, taken by key and type. Pure.

Whatever is wrong raises ValueError with a phrase that names it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from cmaobs.state import Run

_LIMIT = 1 << 64


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def load(data: bytes) -> Any:
    """The JSON object in data."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("JSON that is not an object")
    return value


def get(value: Any, key: str, *types: type) -> Any:
    """What is under key, of one of the types."""
    if not isinstance(value, dict):
        raise ValueError(f"{key}: looked for in something that is not an object")
    if key not in value:
        raise ValueError(f"{key}: missing")
    if not isinstance(value[key], types):
        raise ValueError(f"{key}: {type(value[key]).__name__}, not {types[0].__name__}")
    return value[key]


def natural(value: Any, key: str) -> int:
    """A number that 64 bits hold; key names it."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
        raise ValueError(f"{key}: not a number from 0 to 2^64")
    return value


def integer(value: Any, key: str) -> int:
    """The number under key."""
    return natural(get(value, key, int), key)


def maybe(value: Any, key: str) -> int | None:
    """The number under key, or null."""
    return None if get(value, key, int, type(None)) is None else integer(value, key)


def real(value: Any, key: str) -> float:
    """The finite number under key."""
    number = float(get(value, key, float, int))
    if not math.isfinite(number):
        raise ValueError(f"{key}: not a finite number")
    return number


def string(value: Any, key: str) -> str:
    """The string under key."""
    text = get(value, key, str)
    assert isinstance(text, str)
    return text


def integers(value: dict[str, Any]) -> dict[str, int]:
    """An object whose values are numbers."""
    return {key: natural(number, key) for key, number in value.items()}


def strings(value: Any, key: str) -> dict[str, str]:
    """The object under key, whose values are strings."""
    found: dict[str, Any] = get(value, key, dict)
    return {name: string(found, name) for name in found}


def items(value: Any, key: str) -> list[Any]:
    """The list under key."""
    found = get(value, key, list)
    assert isinstance(found, list)
    return found


def runs_to_json(runs: Iterable[Run]) -> list[int]:
    """Each run's first page frame and number of pages, in one list."""
    return [number for run in runs for number in run]


def runs_from_json(numbers: list[Any]) -> tuple[Run, ...]:
    """The reverse of runs_to_json."""
    if len(numbers) % 2:
        raise ValueError("runs: an odd number of numbers")
    checked = [natural(number, "runs") for number in numbers]
    return tuple(zip(checked[::2], checked[1::2], strict=True))
