# SPDX-License-Identifier: GPL-2.0
"""The command line: a flat table of subcommands, each a module with the same two functions.

Exit status: 0 agree or done, 1 diverge, 2 usage or environment, 3 unknown.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import cmaobs
from cmaobs.errors import CmaobsError, UsageError

COMMANDS = ("serve", "check", "record", "replay", "snapshot", "doctor", "demo", "explain",
            "export", "report", "top", "load", "whatif", "fleet")
ERROR = 2
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are a line and a remedy, as all others are."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")


def command(name: str) -> ModuleType:
    """The module of a subcommand."""
    return importlib.import_module(f"cmaobs.commands.{name}")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser with these subcommands."""
    found = _Parser(prog="cmaobs", description=cmaobs.__doc__,
                    epilog="Exit status: 0 agree or done, 1 diverge, 2 usage or environment "
                           "(a line and a remedy), 3 unknown.")
    found.add_argument("--version", action="version", version=f"cmaobs {cmaobs.__version__}")
    commands = found.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        module = command(name)
        summary = str(module.__doc__).splitlines()[0]
        sub = commands.add_parser(
            name, help=summary[0].lower() + summary[1:].rstrip("."), description=module.__doc__,
            epilog=module.EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    # the other commands need not be read: on a small device that takes seconds
    named = argv[:1] if argv and argv[0] in COMMANDS else COMMANDS
    try:
        args = parser(named).parse_args(argv)
        status: int = args.run(args)
        sys.stdout.flush()
    except CmaobsError as error:
        print(f"error: {error.message}\n  remedy: {error.remedy}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:
        # Who reads has seen enough. Python would try to flush once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status
