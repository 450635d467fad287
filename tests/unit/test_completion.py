# SPDX-License-Identifier: GPL-2.0
"""Shell completion, in real shells on a terminal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from reference.terminal import Terminal

from cmaobs import cli
from manual import completion

FILES = Path(__file__).parents[2] / "docs" / "completion"
_ZSH = ("zsh", "-f", "-i")
_BASH = ("bash", "--noprofile", "--norc", "-i")


def shell(command: tuple[str, ...], directory: Path) -> Terminal:
    """A shell at its prompt, with nothing of the user's own."""
    return Terminal(list(command), {"PATH": os.environ["PATH"], "HOME": str(directory),
                                    "PS1": "ready$ ", "PWD": str(directory)})


@pytest.fixture(params=["bash", "zsh"])
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Terminal:
    """A shell that has read the script, in a directory with two files."""
    (tmp_path / "run.cmarec").touch()
    (tmp_path / "folder").mkdir()
    terminal = shell(_BASH if request.param == "bash" else _ZSH, tmp_path)
    script = (f"source {FILES}/cmaobs.bash" if request.param == "bash" else
              f"fpath=({FILES} $fpath); autoload -U compinit; compinit -u -D")
    terminal.press(f"cd {tmp_path}; {script}; clear; echo lo''aded\r".encode())
    terminal.until("loaded\n")
    return terminal


@pytest.mark.parametrize(("typed", "completed"), [
    (b"cmaobs expo\t", "cmaobs export "),
    (b"cmaobs serve --liste\t", "cmaobs serve --listen "),
    (b"cmaobs check --evidence-f\t", "cmaobs check --evidence-files "),
    (b"cmaobs export --format perf\t", "cmaobs export --format perfetto "),
    (b"cmaobs check --attach fen\t", "cmaobs check --attach fentry "),
    (b"cmaobs replay ru\t", "cmaobs replay run.cmarec "),
    (b"cmaobs doctor --root fo\t", "cmaobs doctor --root folder/"),
])
def test_tab_completes(started: Terminal, typed: bytes, completed: str) -> None:
    with started:
        started.press(typed)
        started.until(completed.rstrip())
        # A mark behind the cursor shows the space that the shell put there.
        started.press(b"MARK")
        started.until(f"{completed}MARK")


def test_tab_lists_all_commands(tmp_path: Path) -> None:
    with shell(_BASH, tmp_path) as terminal:
        terminal.press(f"source {FILES}/cmaobs.bash; echo lo''aded\r".encode())
        terminal.until("loaded\n")
        terminal.press(b"cmaobs \t\t")
        assert "serve" in terminal.until(lambda text: all(name in text for name in cli.COMMANDS))


def test_fish_completes() -> None:
    def ask(line: str) -> list[str]:
        done = subprocess.run(["fish", "--no-config", "-c",
                               f"source {FILES}/cmaobs.fish; complete -C '{line}'"], check=True,
                              capture_output=True, text=True, timeout=300)
        return [one.partition("\t")[0] for one in done.stdout.splitlines()]
    assert ask("cmaobs expo") == ["export"]
    assert set(ask("cmaobs export --format ")) == {"perfetto", "parquet"}


def test_there_is_a_script_for_each_shell() -> None:
    assert {one.name for one in FILES.iterdir()} == set(completion.made())
