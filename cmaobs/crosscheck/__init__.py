# SPDX-License-Identifier: GPL-2.0
"""The cross-check: operations and snapshots against the rules, in a stream.

Pure: no I/O, no clock. docs/checking.md says what is decided and why it is sound.
"""

from cmaobs.crosscheck.checker import Checker, Limits

__all__ = ["Checker", "Limits"]
