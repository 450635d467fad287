# SPDX-License-Identifier: GPL-2.0
"""Writes the JSON files beside the code."""

from pathlib import Path

from dashboards import BOARDS
from dashboards.panels import as_json

for name, board in BOARDS.items():
    Path(__file__).with_name(f"{name}.json").write_text(as_json(board()))
