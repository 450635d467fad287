# SPDX-License-Identifier: GPL-2.0
"""docs/tutorial.md: what it shows of recordings is what the commands print today."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from golden.cli import run

from cmaobs import cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text()


def blocks() -> list[tuple[str, list[str]]]:
    """Each command that runs anywhere, with the lines shown of its output."""
    found: list[tuple[str, list[str]]] = []
    taking = False
    for line in TEXT.splitlines():
        if re.match(r"    [$#] ", line):
            taking = bool(re.match(r"    \$ cmaobs (demo$|(replay|explain|top) docs/)", line))
            if taking:
                found.append((line[6:], []))
        elif not line.startswith("    "):
            taking = False
        elif taking and line.strip() != "...":
            found[-1][1].append(line[4:])
    return found


@pytest.mark.parametrize(("command", "lines"), blocks())
def test_the_output_shown_is_real(command: str, lines: list[str]) -> None:
    printed = iter(run(*(str(ROOT / word) if word.startswith("docs/") else word
                         for word in command.split()[1:])).stdout.splitlines())
    assert len(lines) > 1
    for line in lines:
        assert line in printed, f"{command}: {line}"  # in this order


def test_there_are_ten_situations_and_some_run_anywhere() -> None:
    assert len(re.findall(r"^## \d+\. ", TEXT, re.MULTILINE)) == 10
    assert len(blocks()) >= 3


def test_every_command_and_flag_named_exists() -> None:
    for command in re.findall(r"\bcmaobs ([a-z]+)\b", TEXT):
        assert command in cli.COMMANDS or command in ("cannot", "can")
    for name in re.findall(r"\bcmaobs-([a-z]+)\b", TEXT):
        assert name in cli.COMMANDS


def test_the_query_shown_gives_the_rows_shown(tmp_path: Path) -> None:
    assert run("export", ROOT / "cmaobs/data/demo.cmarec", "--format", "parquet", "-o",
               tmp_path / "demo").returncode == 0
    found = re.search(r'duckdb -c "(SELECT.*?)"\n((?: +\d[^\n]*\n)+)', TEXT, re.DOTALL)
    assert found
    rows = duckdb.sql(found[1].replace("'demo/", f"'{tmp_path}/demo/")).fetchall()
    assert [[str(value) for value in row] for row in rows] == [
        line.split() for line in found[2].splitlines()]
