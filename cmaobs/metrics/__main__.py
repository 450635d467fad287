# SPDX-License-Identifier: GPL-2.0
"""Prints docs/metrics.md."""

from cmaobs.metrics.table import document

print(document(), end="")
