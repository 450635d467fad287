# SPDX-License-Identifier: GPL-2.0
"""An observer in the test's own process, so that a test can look at the records of what it did."""

from __future__ import annotations

from cmaobs.commands import running
from cmaobs.config import Settings
from cmaobs.events import Kind, Record, decode
from cmaobs.kernel.session import Session
from cmaobs.observe import Observer
from cmaobs.source import Batch
from cmaobs.state import AreaState
from kernel.tools import AREA, wait_for


def look_around(session: Session) -> None:
    """Until every task was seen outside of operations; the session itself does it for 2 s only."""
    before = session._before
    assert before is not None
    wait_for(lambda: before.look() or not before.left)


class Watch:
    """An observer in this process, stepped by hand."""

    def __init__(self) -> None:
        self.session = running.open_live(Settings(interval=0.2))
        assert isinstance(self.session, Session)
        look_around(self.session)
        self.observer = Observer(self.session, running.checker(self.session))
        self._steps = self.observer.steps()
        self.records: list[Record] = []

    def settle(self) -> AreaState:
        """Step until a reading that was begun after now; the state of the area in it."""
        readings = 0
        for step in self._steps:
            if isinstance(step, Batch):
                self.records += decode(step.data)
            elif (readings := readings + 1) == 2:
                return next(s for s in step.states if s.facts.name == AREA)
        raise AssertionError("the source ended")

    def seen(self, kind: Kind) -> list[Record]:
        """Records of a kind since the last call of clear()."""
        return [record for record in self.records if record.kind == kind]

    def clear(self) -> AreaState:
        """Forget the records so far."""
        state = self.settle()
        self.records.clear()
        return state
