# SPDX-License-Identifier: GPL-2.0
"""Evidence: of each root of divergence a small recording from which replay reaches it again.

docs/evidence.md says what a file holds. Stands on the pure code, recordings and the observer.
"""

from cmaobs.evidence.keeper import Keeper
from cmaobs.evidence.store import Store

__all__ = ["Keeper", "Store"]
