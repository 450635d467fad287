# SPDX-License-Identifier: GPL-2.0
"""What a recording says of the kernel and of the observer that made it."""

from __future__ import annotations

from collections.abc import Mapping

from cmaobs.kernel import findings
from cmaobs.kernel.facts import Facts
from cmaobs.kernel.loader import STACKS, Loaded
from cmaobs.kernel.plan import Plan

# what was in flight at attach is taken to be over by then, where it cannot be looked for
BLIND_NS = 5_000_000_000


def of(facts: Facts, plan: Plan, loaded: Loaded, phases: bool, attached_ns: int,
       trouble: str) -> Mapping[str, str]:
    """As label values. attached_ns: 0 where nothing is attached. trouble: why it could not be told
    what was in flight then, or an empty string.
    """
    notes = plan.notes
    if trouble:
        notes += ("operations in flight at attach: cannot be told, taken to end within "
                  f"{BLIND_NS // 10**9} s: {trouble}",)
    unseen = [handler for handler in ("scan", "batch")
              if plan.patched and handler not in plan.functions]
    policy = {"policy_probed": _yes("policy" in plan.functions)}
    phased = {"phases": ",".join(findings.phases(facts))}
    return {"release": facts.release, "machine": facts.machine,
            "patched": _yes(plan.patched),
            "batch_probed": _yes("batch" in plan.functions),
            **(policy if "CMA_POLICY" in plan.defines else {}),
            "unseen": ",".join(unseen),
            "stacks": _yes(STACKS in loaded.maps),
            **(phased if phases else {}),
            "attach": loaded.attach if loaded.attached else "none",
            "clocksource": facts.clocksource,
            "probes": str(len(loaded.attached)),
            "compile_seconds": f"{loaded.compile_seconds:.3f}",
            "attached_ns": str(attached_ns),
            "notes": "; ".join(notes)}


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
