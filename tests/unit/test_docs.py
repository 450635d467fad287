# SPDX-License-Identifier: GPL-2.0
"""What the documents of formats say, against the code."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import samples

from cmaobs import wire
from cmaobs.recording import framing, readings
from cmaobs.state import Owned, Stayed
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


def test_the_recording_reference_has_every_member() -> None:
    reading = dataclasses.replace(
        samples.view().reading or samples.reading(1), stacks={1: ("cma_alloc+0x0",)},
        stacks_failed=0, buffers=samples.buffers(),
        owners=(Owned(0x40000, 4, 1, 1, "init", ("cma_alloc+0x0",)),),
        stayed=(Stayed(0x40000, 1, ("lru",), 1, 2),))
    state = dataclasses.replace(reading.states[0], shrinker_batch=64, policy=1)
    written = readings.reading_to_json(dataclasses.replace(reading, states=(state,)))
    # Counters, losses, stacks and slots are by names that other references have.
    for one in written["counts"]:
        one["counters"] = {}
        one["latencies"] = list(one["latencies"].values())
        one["phases"], one["moved"] = list(one.get("phases", {}).values()), {}
        for latency in (*one["latencies"], *one["phases"]):
            latency["slots"] = {}
    members = set(_keys({**written, "losses": {}, "stacks": {}}))
    members |= set(readings.area_to_json(samples.AREA))
    assert len(members) > 40
    text = (DOCS / "recording.md").read_text()
    assert [name for name in members if f"`{name}`" not in text] == []


def test_the_recording_reference_has_every_key_of_the_identity() -> None:
    """As the live source and the keeper of evidence write them in their code."""
    text = (DOCS / "recording.md").read_text()
    source = (ROOT / "cmaobs" / "kernel" / "identity.py").read_text()
    (identity,) = (node for node in ast.walk(ast.parse(source))
                   if isinstance(node, ast.FunctionDef) and node.name == "of")
    keys = [key.value for node in ast.walk(identity) if isinstance(node, ast.Dict)
            for key in node.keys if isinstance(key, ast.Constant)]
    assert len(keys) > 10
    assert [key for key in keys if f"`{key}`" not in text] == []


def _keys(value: object) -> Iterator[str]:
    """Every key of every object in the value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
