# SPDX-License-Identifier: GPL-2.0
"""Each seeded defect is caught by the right rule; the same work on the correct kernel agrees.

Runs on the kernel of `deploy/kernel/build --series defects` only: --patched defects. With
CMAOBS_DEFECTS=FILE the tables between the marks of FILE are written anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug.crashes import CRASHES

from cmaobs.verdict import Outcome
from kernel import table, workloads
from kernel.defects import DEFECTS, Defect
from kernel.lab import Lab
from kernel.workloads import known, made, switch

pytestmark = [pytest.mark.kernel, pytest.mark.patched("defects")]


@pytest.fixture(scope="module")
def lab(patched: bool) -> Iterator[Lab]:
    """The observer."""
    lab = Lab()
    yield lab
    switch("mend")
    lab.session.close()


def keep(lab: Lab) -> None:
    """Write the table where that was asked for; at once, since a run may not get to its end."""
    if path := os.environ.get("CMAOBS_DEFECTS"):
        table.write(Path(path), lab.alone, lab.together)


def test_the_kernel_has_these_defects(patched: bool) -> None:
    """And those that end it, which have tests of their own."""
    fatal = {crash.name for crash in CRASHES}
    assert [name for name in known() if name not in fatal] == [defect.name for defect in DEFECTS]
    assert fatal < set(known())


@pytest.mark.parametrize("defect", [d for d in DEFECTS if d.alone], ids=lambda d: d.name)
def test_alone(lab: Lab, defect: Defect) -> None:
    """One thread: the correct kernel agrees; with the defect on the rule is named."""
    assert defect.alone
    lab.reset()
    if defect.alone is workloads.busy:
        lab.make_busy()
    defect.alone(lab.bench)
    assert lab.agrees(), lab.verdict()
    switch(defect.name)
    since = time.monotonic_ns()
    defect.alone(lab.bench)
    lab.until(3, Outcome.DIVERGE)
    caught = lab.alone[defect.name] = lab.caught(since)
    switch("none")
    print(f"\n{defect.name}: {caught}")
    keep(lab)
    assert caught.made, "the workload does not provoke it"
    assert caught.first, lab.verdict()
    assert caught.first.rule in defect.rules, str(caught)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_together(lab: Lab, defect: Defect) -> None:
    """Four threads."""
    lab.reset()
    if defect.alone is workloads.busy:
        lab.make_busy()
    switch(defect.name)
    since = time.monotonic_ns()
    for seed in range(1, 7):  # some show only where threads meet
        lab.load(defect, seed)
        if lab.until(2, Outcome.DIVERGE):
            break
    caught = lab.together[defect.name] = lab.caught(since)
    switch("none")
    print(f"\n{defect.name}, together: {caught}")
    keep(lab)
    assert caught.made, "the load does not provoke it"
    assert caught.first, lab.verdict()
    assert caught.first.rule in (*defect.rules, *defect.late), str(caught)


@pytest.mark.parametrize("extra", [(), ("--batch", "0,8", "--batch-rate", "4"),
                                   ("--source", "heap", "--sizes", "1,3,16,64")],
                         ids=["debugfs", "batch", "heap"])
def test_together_the_correct_kernel_agrees(lab: Lab, extra: tuple[str, ...]) -> None:
    lab.reset()
    lab.load(Defect("none", "", "", (), None, extra))
    assert lab.agrees(), lab.verdict()
    assert len(lab.fresh.begun) > 2000


def test_merging_is_no_fault_where_the_policy_allows_it(lab: Lab) -> None:
    """Another implementation, not a defect: --policy decides."""
    defect = next(d for d in DEFECTS if d.name == "release-merges")
    assert defect.alone
    lab.reset()
    lab.fresh.begin(merge=True)
    lab.settle()
    switch(defect.name)
    defect.alone(lab.bench)
    assert lab.agrees(), lab.verdict()
    assert made()
    switch("none")
