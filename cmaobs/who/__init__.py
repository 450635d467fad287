# SPDX-License-Identifier: GPL-2.0
"""Who holds the pages of an area, and who asked: followed from records. Pure.

`follow` turns records and readings into `holders`; `book` is the pages of one area and whose they
are, `ledger` counts by caller, `drivers` names the driver behind a kernel stack.
"""

from cmaobs.who.callers import BEFORE, MISSED, Caller
from cmaobs.who.follow import Follower, Holders

__all__ = ["BEFORE", "MISSED", "Caller", "Follower", "Holders"]
