# SPDX-License-Identifier: GPL-2.0
"""Times and histograms of times: as data, and as text. Pure."""

from __future__ import annotations

import math
from typing import Any

from cmaobs import latency
from cmaobs.state import Latency

_QUANTILES = (("p50_s", 0.5), ("p99_s", 0.99))
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def quantiles(one: Latency) -> dict[str, Any]:
    """Count, exact mean, and bounds of quantiles of a histogram that is not empty."""
    data: dict[str, Any] = {"count": one.count, "mean_s": latency.total_s(one) / one.count}
    for name, share in _QUANTILES:
        found = latency.quantile(one, share)
        assert found is not None
        data[name] = [found.low_s, None if math.isinf(found.high_s) else found.high_s]
    return data


def bounds(pair: list[float | None]) -> str:
    """A quantile's bounds with one unit: 1.02-1.28 us."""
    low, high = pair
    assert low is not None
    scale, unit = next(((s, u) for s, u in _UNITS if (high or low) >= s), _UNITS[-1])
    if high is None:
        return f">{low / scale:.3g} {unit}"
    return f"{low / scale:.3g}-{high / scale:.3g} {unit}"


def seconds(took_s: float) -> str:
    """A duration with its unit."""
    scale, unit = next(((s, u) for s, u in _UNITS if took_s >= s), _UNITS[-1])
    return f"{took_s / scale:.3g} {unit}"
