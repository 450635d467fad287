# SPDX-License-Identifier: GPL-2.0
"""Every file that is made, or holds a part that is, with its text."""

from __future__ import annotations

import re
from pathlib import Path

from cmaobs.metrics import table
from manual import completion, pages, references

ROOT = Path(__file__).parents[1]

_PARTS = {"docs/export.md": references.export, "docs/wire.md": references.wire_reference}


def made() -> dict[str, str]:
    """Text by path from the root."""
    return {"docs/metrics.md": table.document(),
            **{f"docs/man/{name}": text for name, text in pages.made().items()},
            **{f"docs/completion/{name}": text for name, text in completion.made().items()},
            **{path: _filled(path, part()) for path, part in _PARTS.items()}}


def _filled(path: str, part: str) -> str:
    """The file with the part between its marks made anew."""
    text, count = re.subn(r"(<!-- made by `make docs`[^\n]*-->\n).*?(<!-- end -->)",
                          lambda marks: f"{marks[1]}{part}\n{marks[2]}",
                          (ROOT / path).read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{path}: {count} places for what is made")
    return text
