# SPDX-License-Identifier: GPL-2.0
"""What several files of unit tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from reference.served import Served


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    with one.server:
        yield one
