# SPDX-License-Identifier: GPL-2.0
"""The manual pages: from the parsers that make --help, and from manual.told."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import cmaobs
from cmaobs import cli, config
from manual import fields, roff, told


def made() -> dict[str, str]:
    """Pages by their file name."""
    parsers = commands()
    found = {"cmaobs.1": _page("cmaobs", _overview(parsers))}
    for name, parser in parsers.items():
        found[f"cmaobs-{name}.1"] = _page(f"cmaobs-{name}", _command(name, parser))
    return found


def commands(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """The parser of each subcommand."""
    (action,) = (one for one in (parser or cli.parser())._actions
                 if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


def _page(name: str, body: Iterator[str]) -> str:
    lines = ['.\\" Made by `make docs` from the parsers of cmaobs and from manual/.',
             roff.head(name, cmaobs.__version__), *body]
    return "\n".join(lines) + "\n"


def _overview(parsers: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    yield from roff.section("NAME", _name("cmaobs", told.SUMMARY))
    yield from roff.section("SYNOPSIS", [".B cmaobs", ".I COMMAND", "[options]", ".br",
                                         ".B cmaobs \\-\\-help", "|", ".B \\-\\-version"])
    yield from roff.section("DESCRIPTION", roff.paragraphs(told.DESCRIPTION))
    yield from roff.section("COMMANDS", roff.entries(
        (f"cmaobs {name}", _summary(name) + ".") for name in parsers))
    yield from roff.section("CONFIGURATION FILE", [
        *roff.paragraphs(told.CONFIGURATION),
        *roff.entries((f"{option.key}:\t{option.metavar}", option.help + ".")
                      for option in config.OPTIONS)])
    yield from roff.section("OVERHEAD", roff.paragraphs(told.OVERHEAD["cmaobs"]))
    yield from roff.section("CAVEATS", roff.entries(told.CAVEATS["cmaobs"]))
    yield from roff.section("EXAMPLES", roff.literal(told.EXAMPLES))
    yield from roff.section("EXIT STATUS", roff.entries(told.STATUS_VERDICT))
    yield from roff.section("SEE ALSO", _see(["cmaobs", *(f"cmaobs-{name}" for name in parsers)],
                                             "cmaobs"))


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    module = cli.command(name)
    epilog = _sections(module.EXAMPLES)
    description = str(module.__doc__).partition("\n")
    yield from roff.section("NAME", _name(f"cmaobs-{name}", _summary(name)))
    yield from roff.section("SYNOPSIS", _synopsis(parser))
    yield from roff.section("DESCRIPTION", [
        *roff.paragraphs(description[0]), ".PP", *roff.paragraphs(description[2])])
    yield from roff.section("OPTIONS", roff.entries(_options(parser)))
    yield from roff.section("FIELDS", roff.entries(fields.FIELDS[name]()))
    yield from roff.section("OVERHEAD", roff.paragraphs(told.OVERHEAD[name]))
    yield from roff.section("CAVEATS", [
        *(roff.paragraphs(" ".join(epilog["caveats"])) if "caveats" in epilog else ()),
        *roff.entries(told.CAVEATS.get(name, ()))])
    yield from roff.section("EXAMPLES", roff.literal(epilog["examples"]))
    yield from roff.section("EXIT STATUS", roff.entries(told.STATUS[name]))
    yield from roff.section("SEE ALSO", _see(["cmaobs", *(
        f"cmaobs-{other}" for other in told.SEE_ALSO[name])], f"cmaobs-{name}"))


def _summary(name: str) -> str:
    summary = str(cli.command(name).__doc__).splitlines()[0].rstrip(".")
    return summary[0].lower() + summary[1:]


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    yield f".B {roff.escaped(parser.prog)}"
    yield from roff.filled(usage.removeprefix(parser.prog).strip())


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}"
                                   if action.choices else "")
        assert isinstance(value, str)
        if action.nargs == "?" and action.option_strings:
            value = f"[{value}]"
        names = ", ".join(action.option_strings) or value
        term = f"{names}\t{value}" if action.option_strings and value else names
        yield term, f"{(action.help or '').strip().rstrip('.')}."


def _sections(epilog: str) -> dict[str, list[str]]:
    """What ends the help, by its headings; lines without the indent."""
    found: dict[str, list[str]] = {}
    for line in epilog.splitlines():
        heading = re.fullmatch(r"(\w[\w ]*):", line)
        if heading:
            found[heading[1]] = []
        elif line:
            list(found.values())[-1].append(line[2:])
    return found


def _see(pages: list[str], this: str) -> Iterator[str]:
    others = [page for page in pages if page != this]
    for place, page in enumerate(others):
        yield f".BR {roff.escaped(page)} (1)" + ("," if place < len(others) - 1 else "")


def _name(name: str, summary: str) -> Iterator[str]:
    return roff.filled(f"{name} - {summary}")
