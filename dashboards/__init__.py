# SPDX-License-Identifier: GPL-2.0
"""Grafana dashboards as code, one module each; ``python -m dashboards`` writes the JSON files.

The JSON files beside the code are what people import. They ask only for metrics of
cmaobs/metrics/table.py, and need no recording rules.
"""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import device, fleet, worth, wrong

BOARDS: dict[str, Callable[[], Dashboard]] = {
    "fleet": fleet.made, "device": device.made, "worth": worth.made, "wrong": wrong.made}
