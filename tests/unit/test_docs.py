# SPDX-License-Identifier: GPL-2.0
"""What the documents of formats say, against the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmaobs import wire
from cmaobs.recording import framing
from manual.files import ROOT, made

DOCS = Path(__file__).parents[2] / "docs"


def test_every_loss_is_explained() -> None:
    text = (DOCS / "wire.md").read_text()
    for kind in wire.Layout("cmaobs_losses").fields:
        assert f"`{kind}`" in text


def test_the_recording_format_is_the_documented_one() -> None:
    text = (DOCS / "recording.md").read_text()
    assert f"Format version {framing.VERSION};" in text
    assert f"magic `{framing.MAGIC.hex(' ')}`" in text
    assert f"at most {framing.MAX_RAW >> 20} MiB" in text
    for tag in framing.TAGS:
        assert f"`{tag.decode()}`" in text
    assert (framing.FILE_SIZE, framing.CHUNK_SIZE) == (8 + 2 + 2 + 4, 5 * 4)


@pytest.mark.parametrize("path", made())
def test_what_is_made_from_the_code_is_as_the_code_makes_it(path: str) -> None:
    assert (ROOT / path).read_text() == made()[path], "make docs, then read the change"


def test_the_wire_reference_has_every_member() -> None:
    text = (DOCS / "wire.md").read_text()
    for name in ("cmaobs_record", "cmaobs_counters", "cmaobs_losses"):
        for member in wire.Layout(name).fields:
            assert f"| {wire.offset(name, member)} | `{member}` |" in text
