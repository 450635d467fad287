# SPDX-License-Identifier: GPL-2.0
"""What a View says to people: data first (also what --json prints), text drawn from it."""

from cmaobs.report.data import snapshot, summary
from cmaobs.report.text import draw_snapshot, draw_summary, status_line

__all__ = ["draw_snapshot", "draw_summary", "snapshot", "status_line", "summary"]
