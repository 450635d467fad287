# SPDX-License-Identifier: GPL-2.0
"""docs/tutorial.md: what it shows of recordings is what the commands print today."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from golden import captures, samples
from golden.cli import run
from reference.ports import free_port

from cmaobs import cli, report
from cmaobs.buffers import Buffer, Buffers, Use
from cmaobs.commands.doctor import drawn
from cmaobs.kernel import plan
from cmaobs.view import View

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "docs" / "tutorial"
TEXT = (ROOT / "docs" / "tutorial.md").read_text()


class Command(NamedTuple):
    """root: it is run as root, where a kernel is observed. lines: that are shown of its output."""

    text: str
    root: bool
    lines: list[str]


def commands() -> list[Command]:
    """Each command of the tutorial."""
    found: list[Command] = []
    for line in TEXT.splitlines():
        if match := re.match(r"    ([$#]) (.*)", line):
            found.append(Command(match[2], match[1] == "#", []))
            taking = True
        elif line and not line.startswith("    "):
            taking = False
        elif taking and line.strip() not in ("", "..."):
            found[-1].lines.append(line[4:])
    return found


REPLAYED = re.compile(r"cmaobs (demo$|(replay|explain|top) docs/)")
ELSEWHERE = ("dmesg | grep cma_alloc", "duckdb -c ", "echo 0 > /sys/kernel/mm/cma/reserved/batch")
"""No commands of cmaobs, or tried below."""


def doctor() -> str:
    """What `doctor` says of the cloud kernel, by facts captured there."""
    found = captures.of(DIRECTORY / "cloud.json")
    return "\n".join(drawn(found, plan.doctor(found)))


def held() -> View:
    """The area as it was when the snapshot that is shown was made."""
    facts = dataclasses.replace(samples.AREA, base_pfn=0x3bc00)
    runs = [(facts.base_pfn + 4096 * place, 4096) for place in range(3)]
    buffers = [Buffer(place + 1, 4096 * run[1], "reserved", "" if place else "decoded",
                      (Use(103, "codec", 1, 0),), area="reserved", run=run, tie="pages")
               for place, run in enumerate(runs)]
    last = (runs[-1][0] + 4096, 256)
    buffers.append(Buffer(4, 256 * 4096, "reserved", "", (Use(104, "camera", 1, 0),),
                          area="reserved", run=last, tie="pages"))
    state = dataclasses.replace(samples.state(facts, allocated=((runs[0][0], 12544),)), batch=0)
    return View(samples.IDENTITY, (facts,), samples.reading(0, (samples.counts(facts), state)),
                buffers=Buffers(tuple(buffers), 0, True))


def printed(command: Command) -> str:
    """What it prints today."""
    words = command.text.split()
    if command.text == "cmaobs doctor":
        return doctor()
    if command.text == "cmaobs snapshot":
        return report.draw_snapshot(report.snapshot(held()))
    if "http://127.0.0.1:9759" in words:
        port = str(free_port())
        done = run(*(word.replace("9759", port) for word in words[1:]))
        return done.stderr.replace(port, "9759")
    return run(*(str(ROOT / word) if word.startswith("docs/") else word
                 for word in words[1:])).stdout.replace(f"{ROOT}/", "")


@pytest.mark.parametrize("command", [one for one in commands() if one.lines and not
                                     one.text.startswith(ELSEWHERE)], ids=lambda one: one.text)
def test_the_output_shown_is_real(command: Command) -> None:
    lines = iter(printed(command).splitlines())
    assert len(command.lines) > 1
    for line in command.lines:
        assert line in lines, f"{command.text}: {line}"  # in this order


def test_each_command_is_known_and_those_that_observe_can_be_given() -> None:
    for command in commands():
        if command.text.startswith(ELSEWHERE):
            continue
        assert command.text.startswith("cmaobs ")
        cli.parser().parse_args(command.text.partition("  #")[0].split()[1:])
        assert command.root == (command.text.split()[1] in ("check", "snapshot")), command.text
        if REPLAYED.match(command.text):
            assert command.lines, f"nothing is shown of {command.text}"


def test_there_are_ten_situations_and_most_run_anywhere() -> None:
    assert len(re.findall(r"^## \d+\. ", TEXT, re.MULTILINE)) == 10
    assert len([one for one in commands() if REPLAYED.match(one.text)]) >= 9
    named = set(re.findall(r"docs/tutorial/(\w+)\.cmarec", TEXT))
    assert named == {path.stem for path in DIRECTORY.glob("*.cmarec")}


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
