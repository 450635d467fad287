# SPDX-License-Identifier: GPL-2.0
"""The policy that an area's allocations follow, on a kernel where it can be written for each area.

It is read with each snapshot, and written by operations of its own: everything is learned again
behind each. Until a snapshot tells, and where none can, R4 and R6 are not judged.
"""

from __future__ import annotations

from dataclasses import replace

from cmaobs.model import Policy
from cmaobs.policies import of_area
from cmaobs.state import AreaState


class Force:
    """policy: in force. unjudged: why the verdict on the area is unknown, or "".

    probed: whether every write comes as an operation; None: nothing can be written.
    """

    def __init__(self, base: Policy, probed: bool | None = None) -> None:
        self.policy = base
        self.unjudged = ""
        self._base = base
        self._probed = probed
        self.forget()

    def forget(self) -> None:
        """It may have been written."""
        if self._probed is not None:
            self.policy = replace(self._base, own=self._base.own | {"R4", "R6"})

    def learn(self, state: AreaState) -> None:
        """From this snapshot on."""
        if self._probed is None:
            return
        found = of_area(self._base, state.policy)
        self.unjudged = ""
        if found is None:
            self.unjudged = f"its policy is number {state.policy}, which is not known here"
        elif not self._probed:
            self.unjudged = "its policy can be written, which has no probe"
        if self.unjudged or found is None:
            self.forget()
        else:
            self.policy = found
