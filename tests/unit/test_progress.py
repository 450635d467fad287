# SPDX-License-Identifier: GPL-2.0
"""The line that says how far long work is: on a terminal, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from golden.cli import NO_BCC, environment
from reference import long
from reference.terminal import Terminal

from cmaobs.commands.progress import _time

# At once and at each step, so that a small recording takes long enough.
_IMPATIENT = NO_BCC.replace("from cmaobs.cli", "from cmaobs.commands import progress; "
                            "progress._PATIENCE_S = progress._EVERY_S = 0; from cmaobs.cli")
_COMMANDS = {"replay": "replaying long.cmarec", "explain": "replaying long.cmarec",
             "export": "exporting long.cmarec", "report": "reading"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long.write(tmp_path_factory.mktemp("long") / "long.cmarec", 2000)


def command(name: str, recording: Path) -> list[str]:
    """The command's arguments, without what makes the progress line wait."""
    more = {"export": ["--format", "perfetto", "-o", str(recording.with_suffix(".pftrace"))],
            "report": ["-o", str(recording.with_suffix(".report"))]}
    return [sys.executable, "-c", _IMPATIENT, name, str(recording), *more.get(name, [])]


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_terminal_shows_how_far_it_is_and_then_only_the_result(
        name: str, recording: Path) -> None:
    with Terminal(command(name, recording), environment()) as terminal:
        assert terminal.end() in (0, 3)
        line = f"{_COMMANDS[name]}: "
        shares = [int(part.split(b"%")[0]) for part in terminal.sent.split(line.encode())[1:]]
        assert len(shares) > 10
        assert shares == sorted(shares)
        assert shares[-1] <= 100
        assert b" s left" in terminal.sent
        assert line not in terminal.text
        ends = {"export": "4000 records", "report": "recordings: 1"}
        assert ends.get(name, "verdict: ") in terminal.text


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_file_or_a_pipe_gets_none(name: str, recording: Path) -> None:
    done = subprocess.run(command(name, recording), env=environment(), capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode in (0, 3)
    assert "\r" not in done.stdout + done.stderr
    assert _COMMANDS[name] not in done.stdout + done.stderr


def test_a_narrow_terminal_gets_a_short_line(recording: Path) -> None:
    with Terminal(command("replay", recording), environment(), columns=20) as terminal:
        terminal.end()
        assert b"replaying long.cmar" in terminal.sent
        assert b"replaying long.cmare" not in terminal.sent


@pytest.mark.parametrize(("seconds", "shown"), [
    (0.4, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_a_time_as_people_say_it(seconds: float, shown: str) -> None:
    assert _time(seconds) == shown
