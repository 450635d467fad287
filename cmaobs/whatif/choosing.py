# SPDX-License-Identifier: GPL-2.0
"""Asks rules for their choices; what a user's class raises or returns wrongly is told in a line."""

from __future__ import annotations

from typing import Any

from cmaobs.errors import UsageError
from cmaobs.runs import Run
from cmaobs.state import AreaFacts
from cmaobs.steps import State
from cmaobs.whatif.rules import Rules, is_users, where


class Chooser:
    """All methods raise UsageError where a user's class is at fault."""

    def __init__(self, rules: Rules, facts: AreaFacts) -> None:
        self.name = rules.name
        self._rules, self._facts = rules, facts
        self._users = is_users(rules)

    def place(self, state: State, *arguments: int) -> int | None:
        """A granule, or None."""
        found: int | None = self.call("place", state, *arguments)
        if found is not None and (not isinstance(found, int) or found < 0):
            raise self._wrong("place", found, "return a granule, or None")
        return found

    def runs(self, what: str, state: State, *arguments: int) -> tuple[Run, ...] | None:
        """Runs of pages, or None."""
        found = self.call(what, state, *arguments)
        if found is None or not self._users:
            return found  # type: ignore[no-any-return]
        try:
            taken = tuple((int(pfn), int(pages)) for pfn, pages in found)
        except (TypeError, ValueError):
            taken = ((-1, 0),)
        if not all(self._facts.holds(pfn, pages) for pfn, pages in taken):
            raise self._wrong(what, found, "return (pfn, pages) of the area")
        return taken

    def call(self, what: str, state: State, *arguments: int) -> Any:
        """Whatever the method returns."""
        method = getattr(self._rules, what)
        if not self._users:
            return method(state, *arguments)
        try:
            return method(state, *arguments)
        except Exception as error:
            path = self.name.rpartition(":")[0]
            raise UsageError(f"{path}: {where(error, path)}", "correct the class") from error

    def _wrong(self, what: str, found: Any, remedy: str) -> UsageError:
        return UsageError(f"policy {self.name}: {what} returned {repr(found)[:60]}", remedy)
