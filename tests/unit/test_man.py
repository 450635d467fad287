# SPDX-License-Identifier: GPL-2.0
"""Manual pages: complete, well formed, and true of what the commands print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cmaobs import cli
from manual import fields, pages

ROOT = Path(__file__).parents[2]
MAN = ROOT / "docs" / "man"
GOLDEN = ROOT / "tests" / "golden"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FIELDS", "OVERHEAD", "CAVEATS",
            "EXAMPLES", "EXIT STATUS", "SEE ALSO"]


def rendered(page: Path) -> str:
    """The page as a reader sees it, without bold and italics, on one line a paragraph."""
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=500", page], check=True,
                          capture_output=True, text=True, timeout=300).stdout
    return re.sub(r".\x08", "", text)


def test_there_is_a_page_for_every_command_and_no_other() -> None:
    assert {one.name for one in MAN.iterdir()} == set(pages.made())
    assert set(pages.made()) == {"cmaobs.1", *(f"cmaobs-{name}.1" for name in cli.COMMANDS)}


@pytest.mark.parametrize("name", pages.made())
def test_mandoc_finds_nothing_wrong(name: str) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", MAN / name], check=False,
                          capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_page_has_all_sections_and_every_flag(name: str) -> None:
    text = rendered(MAN / f"cmaobs-{name}.1")
    assert re.findall(r"^([A-Z][A-Z ]+)$", text, re.MULTILINE) == SECTIONS
    flags = {flag for action in pages.commands()[name]._actions
             if action.help != "==SUPPRESS==" for flag in action.option_strings}
    assert len(flags) > 1
    for flag in flags:
        assert re.search(rf"^ +(-\w, )?{flag}\b", text, re.MULTILINE), flag


@pytest.mark.parametrize(("command", "outputs"), [
    ("check", ("summary-diverge.txt",)), ("snapshot", ("snapshot-patched.txt",)),
    ("explain", ("explain.txt",)), ("whatif", ("whatif.txt",)), ("fleet", ("fleet.txt",)),
    ("top", ("top-once.txt", "top-wide.txt", "top-whole.txt"))])
def test_every_field_is_in_what_the_command_prints(command: str, outputs: tuple[str, ...]) -> None:
    text = "".join((GOLDEN / name).read_text() for name in outputs)
    named = [field for term, _ in fields.FIELDS[command]() for field in term.split(", ")]
    assert len(named) > 5
    assert [field for field in named if field not in text] == (
        ["not at rest"] if command == "snapshot" else [])


def test_every_line_of_the_report_is_a_field() -> None:
    text = (GOLDEN / "summary-diverge.txt").read_text()
    labels = set(re.findall(r"^  (\w+)   ", text, re.MULTILINE))
    labels |= {line.split()[0].rstrip(":") for line in re.findall(r"^\w.*", text, re.MULTILINE)}
    terms = " ".join(term for term, _ in fields.FIELDS["check"]()).split()
    assert len(labels) > 12
    assert labels - set(terms) == {"and"}


def test_serve_tells_every_metric() -> None:
    text = rendered(MAN / "cmaobs-serve.1")
    for term, _ in fields.FIELDS["serve"]():
        assert term in text


def test_the_wheel_installs_pages_and_completions(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
                    "--no-build-isolation", "--disable-pip-version-check", "-w", tmp_path, ROOT],
                   check=True, timeout=300, env={**os.environ, "TMPDIR": str(tmp_path)})
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    installed = [f"man/man1/{name}" for name in pages.made()]
    installed += ["bash-completion/completions/cmaobs.bash", "zsh/site-functions/_cmaobs",
                  "fish/vendor_completions.d/cmaobs.fish"]
    for path in installed:
        assert any(one.endswith(f".data/data/share/{path}") for one in names), path
