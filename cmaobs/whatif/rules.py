# SPDX-License-Identifier: GPL-2.0
"""Who chooses: the policies that have names, and classes that users write.

A class is a subclass of Rules that overrides some of its methods. Whatever it chooses is held
against cmaobs.model: pages still are in one place each.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmaobs import choices
from cmaobs.errors import UsageError
from cmaobs.runs import Run
from cmaobs.steps import PLAIN, RFC, Policy, State

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "prefer-deferred": ("a run inside a deferred extent is picked before a lower one",
                        {"prefer_deferred": True}),
    "flush-overlap": ("a miss gives back only the extents that its run overlaps",
                      {"flush_overlap": True}),
    "oldest-first": ("scans give back the oldest extents first", {"oldest_first": True}),
}
KEEP = re.compile(r"keep-(\d{1,9})")
KNOWN = ("rfc, plain (no deferral), " + ", ".join(VARIANTS) + ", keep-N (at most N pages are "
         "deferred), several of them joined by +, or FILE.py:CLASS")
USUAL = ("plain", "rfc", "prefer-deferred", "flush-overlap", "oldest-first")
_BY_METHOD = {"place": "R4", "flush": "R6", "reclaim": "R9"}


class Rules:
    """The RFC's choices. All methods are pure; state is cmaobs.steps.State, addresses are pfns.

    A subclass may override any of place, defers, flush and reclaim; self.policy is the RFC's then.
    """

    name = "rfc"
    policy: Policy = RFC

    def place(self, state: State, pages: int, align: int, start: int) -> int | None:
        """The first granule of an aligned run of clear bits from granule start on; None: none."""
        return choices.place(self.policy, state, pages, align, start)

    def defers(self, state: State, pfn: int, pages: int) -> bool:
        """Whether a release goes on the list; not asked while batch is 0."""
        del pfn
        return choices.defers(self.policy, state, pages)

    def flush(self, state: State, pfn: int, pages: int) -> tuple[Run, ...]:
        """(pfn, pages) that a miss gives back; all that overlaps its run must be among them."""
        return choices.flushed(self.policy, state, (pfn, pages))

    def reclaim(self, state: State, asked: int) -> tuple[Run, ...] | None:
        """(pfn, pages) that a scan gives back; None: it stops."""
        return choices.scanned(self.policy, state, asked)

    @property
    def own(self) -> frozenset[str]:
        """Rules in place of which a subclass chooses."""
        return frozenset(rule for method, rule in _BY_METHOD.items()
                         if getattr(type(self), method) is not getattr(Rules, method))


class Named(Rules):
    """One of the policies that have names."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name = name
        self.policy = policy


def named(name: str) -> Rules:
    """The rules of a name; raises UsageError."""
    if ".py:" in name:
        return from_file(name)
    if name in ("rfc", "plain"):
        return Named(name, RFC if name == "rfc" else PLAIN)
    policy = RFC
    for part in name.split("+"):
        keep = KEEP.fullmatch(part)
        if keep:
            policy = replace(policy, keep=int(keep[1]))
        elif part in VARIANTS:
            policy = replace(policy, **VARIANTS[part][1])
        else:
            raise UsageError(f"no policy {part[:60]!r}", f"known are: {KNOWN}")
    return Named(name, policy)


def from_file(name: str) -> Rules:
    """An instance of FILE.py:CLASS. Runs the file; raises UsageError with a line of it."""
    path, _, wanted = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("cmaobs_whatif_policy", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise UsageError(f"no file {path}", "name a Python file and a class: FILE.py:CLASS")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = getattr(module, wanted, None)
        if not (isinstance(found, type) and issubclass(found, Rules)):
            raise UsageError(f"{path} has no class {wanted} that is a cmaobs.whatif.rules.Rules",
                             "write `class NAME(Rules):` in it, see docs/whatif.md")
        rules = found()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{path}: {where(error, path)}", "correct the class") from error
    rules.name = name
    rules.policy = replace(RFC, own=rules.own)
    return rules


def where(error: BaseException, path: str) -> str:
    """What a user's class raised, with the line of its file if it was there."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == Path(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    at = f"line {lines[-1]}: " if lines else ""
    return f"{at}{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def is_users(rules: Rules) -> bool:
    """Whether a user's class chooses."""
    return not isinstance(rules, Named) and type(rules) is not Rules


