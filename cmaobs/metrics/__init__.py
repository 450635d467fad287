# SPDX-License-Identifier: GPL-2.0
"""Metrics drawn from a View: every name, its meaning, and the collector.

docs/metrics.md is made from the table: ``python -m cmaobs.metrics``.
"""

from cmaobs.metrics.collector import ViewCollector, exposition, families, samples
from cmaobs.metrics.table import METRICS, Metric

__all__ = ["METRICS", "Metric", "ViewCollector", "exposition", "families", "samples"]
