# SPDX-License-Identifier: GPL-2.0
"""Manual pages in roff's man macros: man(7), as man-db and mandoc read them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

_WIDTH = 79
DATE = "2026-11-26"  # of the version's manual, for the foot of each page


def head(name: str, version: str) -> str:
    """The title line."""
    return f'.TH {name.upper()} 1 "{DATE}" "cmaobs {version}" "User Commands"'


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A section, unless it would be empty."""
    body = list(lines)
    if body:
        yield f".SH {title}"
        yield from body


def paragraphs(text: str) -> Iterator[str]:
    """Text, its paragraphs apart."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield from filled(paragraph)


def entries(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of terms and what they mean; behind a tab in a term comes what stands for a value."""
    for term, meaning in rows:
        name, _, value = term.partition("\t")
        yield ".TP"
        yield f"\\fB{escaped(name)}\\fR" + (f" \\fI{escaped(value)}\\fR" if value else "")
        yield from filled(meaning)


def literal(lines: Sequence[str]) -> Iterator[str]:
    """Lines as they are."""
    if lines:
        yield ".nf"
        yield from map(escaped, lines)
        yield ".fi"


def filled(text: str) -> Iterator[str]:
    """One paragraph, a sentence on lines of its own; names in backquotes are bold."""
    joined = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", escaped(" ".join(text.split())))
    for sentence in re.split(r"(?<=[.:;]) (?=[A-Z(])", joined):
        for line in textwrap.wrap(sentence, _WIDTH, break_long_words=False,
                                  break_on_hyphens=False):
            yield f"\\&{line}" if line.startswith(".") else line


def escaped(text: str) -> str:
    """Nothing in the text is an escape, or a hyphen that is set as a dash."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    return text.replace("~", "\\(ti")
