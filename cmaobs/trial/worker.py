# SPDX-License-Identifier: GPL-2.0
"""Runs in a process of its own, so that the observer's threads do not wait for the load's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cmaobs.load.area import find
from cmaobs.load.maker import Maker, Settings
from cmaobs.load.plan import Lifetimes, Sizes
from cmaobs.trial import conditions, plan

# Of /proc/vmstat, what tells of reclaim, compaction and CMA.
_KEPT = ("allocstall", "pgscan", "pgsteal", "slabs_scanned", "pageoutrun", "compact_", "pgmigrate",
         "workingset_refault", "cma_", "oom_kill")
_LIMIT_S = 20.0  # for one run; what is not done by then is left undone, and told
_clutter: list[conditions.Clutter] = []


class Done(NamedTuple):
    """What one load did: see cmaobs.study.manifest.Run."""

    load: Mapping[str, Any]
    vmstat: Mapping[str, tuple[int, int]]
    seconds: float


def ready() -> None:
    """Does nothing: that it returns says that the process is there."""


def prepare(area: str, condition: str) -> None:
    """Make the condition that lasts for a block of runs, and undo that of the block before."""
    while _clutter:
        _clutter.pop().close()
    if condition == "fragmented":
        _clutter.append(conditions.Clutter(find(Path("/"), area)))


def run(area: str, planned: plan.Planned) -> Done:
    """One load under its condition. Raises CmaobsError."""
    setting = planned.setting
    maker = Maker(Settings(
        area=area, source="heap", threads=setting.threads, sizes=Sizes.parse(setting.sizes),
        lifetimes=Lifetimes.parse(plan.LIFETIME), rate=0, duration=_LIMIT_S,
        operations=setting.operations, seed=planned.seed, share=plan.SHARE, reserve=0))
    with conditions.pressed(setting.condition) as pressure:
        before, began = vmstat(), time.monotonic()
        summary = maker.run()
        seconds, after = time.monotonic() - began, vmstat()
    if pressure:
        summary["pressure"] = pressure
    return Done(summary, {name: (before[name], after[name]) for name in before if name in after},
                round(seconds, 6))


def vmstat() -> dict[str, int]:
    """Counts of /proc/vmstat that the manifest keeps."""
    pairs = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {name: int(value) for name, value in pairs if name.startswith(_KEPT)}
