# SPDX-License-Identifier: GPL-2.0
"""Programs load and count where the kernel hides the constants of what its JIT compiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.test_faults import exactly
from kernel.tools import WAYS, Area, Serve, written

pytestmark = pytest.mark.kernel
HARDEN = Path("/proc/sys/net/core/bpf_jit_harden")


@pytest.fixture
def hardened() -> Iterator[None]:
    """For every user, root too: Documentation/admin-guide/sysctl/net.rst."""
    with written(HARDEN, "2"):
        yield


@pytest.mark.parametrize("attach", WAYS)
def test_a_hardened_jit(area: Area, hardened: None, tmp_path: Path, attach: str) -> None:
    with Serve(tmp_path, "--attach", attach) as serve:
        exactly(area, serve, 5)
        assert serve.stop() == 0, serve.output()
