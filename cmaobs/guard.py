# SPDX-License-Identifier: GPL-2.0
"""What is withheld while there are more operations than observing may cost. Pure.

Counts and latencies are never withheld. Where they are few again for a while, what was withheld
comes back, the last first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

FEATURES = ("phases", "stacks", "records")  # in the order in which they are given up
NEVER_NS = (1 << 64) - 1
_WINDOW_NS = 1_000_000_000
_FEW = 0.75  # of the rate above which things are withheld: between the two nothing changes
_QUIET_WINDOWS = 5


class Guard:
    """Decides once a second.

    withheld: features that are, the one given up first first. since_ns: by feature, operations that
    began before are not told of: 0 from the beginning, NEVER_NS while it is withheld, else when it
    came back.
    """

    def __init__(self, most: float, features: Collection[str]) -> None:
        """most: operations a second up to which all is told. features: those of FEATURES in use."""
        self._most = most
        self._features = tuple(name for name in FEATURES if name in features)
        self.withheld: tuple[str, ...] = ()
        self._since_ns = dict.fromkeys(self._features, 0)
        self._seen: tuple[int, int] | None = None
        self._quiet = 0

    @property
    def since_ns(self) -> Mapping[str, int]:
        """See the class."""
        return self._since_ns | dict.fromkeys(self.withheld, NEVER_NS)

    def look(self, operations: int, now_ns: int) -> bool:
        """Whether something else is withheld than before. operations: begun so far."""
        if self._seen is None:
            self._seen = operations, now_ns
        before, then_ns = self._seen
        if now_ns - then_ns < _WINDOW_NS:
            return False
        self._seen = operations, now_ns
        rate = (operations - before) * 1e9 / (now_ns - then_ns)
        self._quiet = self._quiet + 1 if rate < self._most * _FEW else 0
        if rate > self._most and len(self.withheld) < len(self._features):
            self.withheld = self._features[:len(self.withheld) + 1]
            return True
        if self.withheld and self._quiet >= _QUIET_WINDOWS:
            self._quiet = 0
            self._since_ns[self.withheld[-1]] = now_ns
            self.withheld = self.withheld[:-1]
            return True
        return False
