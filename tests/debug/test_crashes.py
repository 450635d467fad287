# SPDX-License-Identifier: GPL-2.0
"""Each defect that no kernel survives is told by a checker of the debug flavour.

Every one boots a device of its own, since most of them end it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from debug.crashes import CRASHES, HEAD, Crash, row, script, told

pytestmark = pytest.mark.vm
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240  # boot included; a guest that hangs with interrupts off says nothing any more
ENDS = {0: "goes on", 124: "hangs", 125: "dies", 139: "goes on without the task"}
MARKS = re.compile(r"(<!-- crashes -->\n).*?(<!-- end of crashes -->)", re.DOTALL)


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, str]]:
    """Filled by the tests; printed, and written to the file that CMAOBS_CRASHES names."""
    made: dict[str, str] = {}
    yield made
    text = HEAD + "".join(made[crash.name] + "\n" for crash in CRASHES if crash.name in made)
    print("\n" + text)
    if (name := os.environ.get("CMAOBS_CRASHES")) and len(made) == len(CRASHES):
        page = Path(name).read_text()
        Path(name).write_text(MARKS.sub(lambda m: m[1] + text + m[2], page))


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.name)
def test_told(crash: Crash, rows: dict[str, str], tmp_path: Path) -> None:
    kernel = os.environ.get("CMAOBS_KERNEL")
    assert kernel, "set CMAOBS_KERNEL: deploy/kernel/build --series defects --flavour debug"
    console = tmp_path / "console"
    done = subprocess.run(
        [str(ROOT / "deploy/vm/run"), "--kernel", kernel, "--memory", "2G",
         "--timeout", str(TIMEOUT_S), "--boot-timeout", str(TIMEOUT_S),
         "--console", str(console), "--append", "cma_defer_batch=16 cma_test_areas=camera:16M",
         "--", "bash", "-c", script(crash)], cwd=ROOT, capture_output=True, text=True)
    log = console.read_text(errors="replace")
    assert f"crash: {crash.name} is on" in log, done.stderr
    said = told(log)
    assert done.returncode in ENDS, done.stderr
    rows[crash.name] = row(crash, ENDS[done.returncode], said)
    assert crash.by in {who for who, _ in said}, f"{said}\n{log[-3000:]}"
