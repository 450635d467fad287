# SPDX-License-Identifier: GPL-2.0
"""Writes every file that is made from the code; says which of them changed."""

from __future__ import annotations

from manual.files import ROOT, made

for path, text in made().items():
    file = ROOT / path
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        print(path)
