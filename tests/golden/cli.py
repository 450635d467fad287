# SPDX-License-Identifier: GPL-2.0
"""Runs the command line as a process, in an interpreter where bcc cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_BCC = "import sys; sys.modules['bcc'] = None; from cmaobs.cli import main; sys.exit(main())"


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """cmaobs with these arguments, in an interpreter where bcc cannot be imported."""
    return subprocess.run([sys.executable, "-c", NO_BCC, *map(str, args)], env=environment(),
                          capture_output=True, text=True, timeout=300, check=False)


def environment() -> dict[str, str]:
    """The environment: this checkout, its tests, and a terminal of 80 columns."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "COLUMNS": "80"}
