# SPDX-License-Identifier: GPL-2.0
"""Why allocations fail: a cause for each, from records and from what the kernel held then. Pure.

``failure`` says what a cause is, ``clear`` which bits were clear while an allocation searched,
``judge`` decides, and ``follow`` finds failures in the steps of a source.
"""

from cmaobs.why.failure import CAUSES, KEPT, Busy, Failure, page_told
from cmaobs.why.follow import Why

__all__ = ["CAUSES", "KEPT", "Busy", "Failure", "Why", "page_told"]
