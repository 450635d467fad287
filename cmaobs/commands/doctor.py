# SPDX-License-Identifier: GPL-2.0
"""Say what this kernel supports, what is missing, and the remedy.

Changes nothing and needs no privileges, but sees less without them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cmaobs import config, lane
from cmaobs.commands import running

if TYPE_CHECKING:
    from cmaobs.kernel.facts import Facts
    from cmaobs.kernel.findings import Finding

EXAMPLES = """examples:
  cmaobs doctor
  cmaobs doctor --json
  cmaobs doctor --root /mnt/guest           another tree with proc and sys
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    config.add_flags(parser, ("root",))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0; raises for the first feature that cannot be done without."""
    from cmaobs.kernel import facts, plan
    found = facts.probe(config.settings(args).root)
    findings = [*plan.doctor(found), _lane()]
    if args.json:
        print(json.dumps([_data(finding) for finding in findings], indent=1))
    else:
        print("\n".join(drawn(found, findings)))
    for finding in findings:
        if finding.error is not None:
            raise finding.error(f"{finding.feature}: {finding.detail}", finding.remedy)
    return 0


def drawn(found: Facts, findings: Sequence[Finding]) -> Iterator[str]:
    """All of it for people: which kernel, the rows, and what they come to."""
    yield f"kernel {found.release}, {found.machine}"
    yield ""
    yield from lines(findings)
    yield ""
    yield _conclusion(findings)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The rows for people, each with the remedy where it is not ok."""
    width = max(len(finding.feature) for finding in findings)
    for finding in findings:
        yield f"{finding.feature:<{width}}  {finding.state:<7}  {finding.detail}"
        if finding.remedy and finding.state != "ok":
            yield f"{'':<{width}}           {finding.remedy}"


def _conclusion(findings: Sequence[Finding]) -> str:
    """What all of it comes to."""
    needed = [finding.feature for finding in findings if finding.error is not None]
    if needed:
        return f"cmaobs cannot observe this kernel as it is: it needs {', '.join(needed)}."
    defers = any(finding.feature == "deferred freeing" and finding.state == "ok"
                 for finding in findings)
    return ("cmaobs can observe this kernel" + (", and check its deferred freeing." if defers else
            "; it does not defer, or not in a way that cmaobs knows."))


def _lane() -> Finding:
    from cmaobs.kernel.findings import Finding
    why = lane.missing()
    if not why:
        return Finding("fast lane", "ok", "compiled")
    return Finding("fast lane", "limited", f"the cross-check is slower: {why}",
                   "install gcc, then cmaobs again")


def _data(finding: Finding) -> dict[str, str]:
    return {"feature": finding.feature, "state": finding.state, "detail": finding.detail,
            "remedy": finding.remedy, "error": finding.error.__name__ if finding.error else ""}
