# SPDX-License-Identifier: GPL-2.0
"""Shell completion, made from the parsers by shtab, so that no shell starts Python at each Tab."""

from __future__ import annotations

import argparse

import shtab

from cmaobs import cli
from manual import pages

_FILES = {"bash": "cmaobs.bash", "zsh": "_cmaobs", "fish": "cmaobs.fish"}
_KINDS = {"FILE": shtab.FILE, "OUT": shtab.FILE, "SOURCE": shtab.FILE, "DIR": shtab.DIRECTORY}
_CHOICES = {"--attach": ("auto", "kprobe", "fentry"), "yes|no": ("yes", "no")}


def made() -> dict[str, str]:
    """Scripts by their file name."""
    parser = cli.parser()
    for sub in pages.commands(parser).values():
        for action in sub._actions:
            _annotate(action)
    return {name: _plain(shtab.complete(parser, shell)) for shell, name in _FILES.items()}


def _annotate(action: argparse.Action) -> None:
    """What may stand for the action's value, where the parser checks it by other means."""
    if action.metavar in _KINDS:
        action.complete = _KINDS[action.metavar]  # type: ignore[attr-defined]
    for key in (*action.option_strings, action.metavar):
        if isinstance(key, str) and key in _CHOICES:
            action.choices = _CHOICES[key]


def _plain(script: str) -> str:
    return "\n".join(line.rstrip() for line in script.splitlines()) + "\n"
