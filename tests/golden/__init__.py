# SPDX-License-Identifier: GPL-2.0
"""Expected outputs as files. CMAOBS_REFRESH=1 writes them anew instead of comparing."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

_HERE = Path(__file__).parent


def compare(name: str, text: str) -> None:
    """Fail with the difference where text is not what the file of that name holds."""
    path = _HERE / name
    if os.environ.get("CMAOBS_REFRESH") == "1":
        path.write_text(text)
    expected = path.read_text() if path.exists() else ""
    assert expected or path.exists(), f"no {path.name}; {_refresh()}"
    if text != expected:
        difference = "\n".join(difflib.unified_diff(
            expected.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm=""))
        raise AssertionError(f"{difference}\nIf that is as it should be: {_refresh()}")


def _refresh() -> str:
    return "CMAOBS_REFRESH=1 pytest, then read the change with git diff"
