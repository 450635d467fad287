# SPDX-License-Identifier: GPL-2.0
"""What helps where a verdict is unknown: from the reasons that the cross-check gives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_FENTRY = ("a probe missed a call; kprobes do when many threads wait in cma_alloc: use --attach "
           "fentry where `cmaobs doctor` has it; fentry does when another tracer of the same "
           "functions comes or goes")
_LONGER = "observe for longer, with --duration"

_HELP = (
    ("counts made in the kernel and records differ", "this is a fault of cmaobs: keep a recording "
     "with --record, and report it"),
    ("impossible records", "the recording is damaged, or the kernel's structures are not what they "
     "were taken for: report it"),
    ("ring_full", "records came faster than they were read: give a larger --ring-pages, or the "
     "observer more processor time"),
    ("too many operations between two readings", "give a shorter --interval"),
    ("in_flight_at_attach", f"an operation began before the observer: {_LONGER}"),
    ("in flight while the observer attached", f"an operation began before the observer: {_LONGER}"),
    ("stale_entries", _FENTRY),
    ("orphan_returns", _FENTRY),
    ("return was not seen", _FENTRY),
    ("allocations that were not seen", _FENTRY),
    ("has no probe", "`cmaobs doctor` names what this kernel does not let be probed"),
    ("no operation was decided", f"nothing used CMA for long enough: {_LONGER}, or make load with "
     "`cmaobs load`"),
    ("not at rest since", f"no reading found the area idle: {_LONGER}"),
    ("never at rest", f"no reading found the area idle: {_LONGER}"),
)
"""What a reason contains, and what helps. The first that fits counts."""


def advice(reasons: Iterable[str]) -> Iterator[str]:
    """What helps against these reasons, each once."""
    told: set[str] = set()
    for reason in reasons:
        found = next((help_ for part, help_ in _HELP if part in reason), None)
        if found is not None and found not in told:
            told.add(found)
            yield found
