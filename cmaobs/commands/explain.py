# SPDX-License-Identifier: GPL-2.0
"""Tell the divergences in a recording: rule, place, values, who did what, and pages as a drawing.

Replays the file. In evidence, the divergence that it was kept for comes first. Needs no privileges.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from cmaobs import config, report
from cmaobs.commands import pages, running
from cmaobs.commands.progress import run_through
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.report import drawing, html, text

EXAMPLES = """examples:
  cmaobs explain bug.cmarec
  cmaobs explain bug.cmarec --html bug.html
  cmaobs explain bug.cmarec --policy rfc,merge
"""

_CUT = {"rest": "from a time when the area was at rest",
        "attach": "from when the observer attached",
        "bound": "while operations were in flight: what began before is not judged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("file", metavar="FILE", help="a recording")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures, too")
    config.add_policy(parser)
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: the verdict."""
    source = RecordingSource(args.file)
    observer = Observer(source, running.checker(source, args.policy))
    try:
        run_through(observer, source, "replaying")
    finally:
        source.close()
    data = report.summary(observer.view)
    verdict = data["verdict"]
    _first(verdict, source.identity)
    if args.html is not None:
        pages.write(args.html, html.page(verdict["divergences"][:1], verdict["outcome"]), html.HEAD,
                    "explain")
    if args.json:
        print(json.dumps(verdict, indent=1))
    else:
        _tell(data, source.identity)
    return running.exit_status(observer.view)


def _first(verdict: dict[str, Any], identity: Mapping[str, str]) -> None:
    """Put the divergence that the file was kept for in front."""
    wanted = (identity.get("evidence"), identity.get("at_ns"))
    verdict["divergences"].sort(
        key=lambda one: (one["rule"], str(one["at_ns"])) != wanted)


def _tell(data: Mapping[str, Any], identity: Mapping[str, str]) -> None:
    verdict = data["verdict"]
    if "evidence" in identity:
        print(text.clean([f"evidence of {identity.get('told', identity['evidence'])}",
                          f"cut {_CUT.get(identity.get('cut', ''), 'somewhere')}", ""]), end="")
        if identity.get("reproduces") == "no":
            print("Replaying this file does not lead to that divergence: it depends on what was\n"
                  "before the file begins.\n")
    for one in verdict["divergences"][:1]:
        print(drawing.draw(one), end="")
    for warning in data["warnings"]:
        print(text.clean([f"warning: {warning}"]), end="")
    print(text.draw_rest(verdict), end="")
    if not verdict["divergences"]:
        print("There is no divergence in this file; `cmaobs replay` prints all that it has.")
