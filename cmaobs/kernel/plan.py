# SPDX-License-Identifier: GPL-2.0
"""From facts to probes: a pure function, so that any kernel's facts can test it.

What is here decides; nothing here reads. cmaobs.kernel.findings says what it decides by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cmaobs.errors import UnsupportedError
from cmaobs.kernel import findings
from cmaobs.kernel.facts import Facts
from cmaobs.kernel.features import features
from cmaobs.kernel.findings import Finding, chosen
from cmaobs.kernel.handlers import (
    DEFERRAL,
    HANDLERS,
    ISOLATED,
    MUTEX,
    PHASES,
    POLICY,
    TRACEPOINTS,
)

Attach = Literal["auto", "kprobe", "fentry"]
MAX_AREAS = 64  # where the size of cma_areas[] cannot be told


@dataclass(frozen=True, slots=True)
class Ranges:
    """Where the ranges of an area lie in its struct cma: offsets in bytes.

    first: of the first range; up to 6.14, where there is one, the struct itself. size: of a range.
    most: that there is room for. number: of how many there are, None where there is one.
    base_pfn, count, bitmap: within a range.
    """

    base_pfn: int
    count: int
    bitmap: int
    first: int = 0
    size: int = 0
    most: int = 1
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile, attach and read.

    functions: kernel function by handler. phases: those that only phases need. tracepoints: event
    by program. defines: macros for the C compiler, struct offsets in bytes. cma_areas, mem_section,
    dmabuf_list, cma_heap_ops, cma_mutex: addresses, 0 for none.
    max_areas: entries of cma_areas[]. attach: kprobe or fentry.
    notes: what is not observed on this kernel, one line each.
    """

    attach: Literal["kprobe", "fentry"]
    fallback: bool
    functions: Mapping[str, str]
    phases: Mapping[str, str]
    tracepoints: Mapping[str, str]
    defines: Mapping[str, int | str]
    structs: Mapping[str, Mapping[str, int]]
    ranges: Ranges
    cma_areas: int
    cma_area_count: int
    mem_section: int
    max_areas: int
    patched: bool
    dmabuf_list: int = 0
    cma_heap_ops: int = 0
    cma_mutex: int = 0
    notes: tuple[str, ...] = ()


def doctor(facts: Facts) -> list[Finding]:
    """What the observer needs of this kernel, then each feature; pure."""
    return [*findings.needs(facts), *features(facts)]


def make(facts: Facts, attach: Attach = "auto", phases: bool = False) -> Plan:
    """The plan for these facts; phases: also see where the time of allocations goes.

    Raises UnsupportedError or PrivilegeError for the first thing that is
    missing and cannot be done without.
    """
    found = doctor(facts)
    for finding in found:
        if finding.error is not None:
            raise finding.error(f"{finding.feature}: {finding.detail}", finding.remedy)
    fentry = findings.fentry(facts)
    if attach == "fentry" and fentry.state != "ok":
        raise UnsupportedError(f"fentry: {fentry.detail}", "use --attach kprobe")
    beside = [f"fentry: {fentry.detail}"] if attach == "auto" and facts.direct else []
    if attach == "auto" and (fentry.state != "ok" or beside):
        attach = "kprobe"
    patched = findings.deferral(facts).state == "ok"
    functions = {handler: name for handler, name in chosen(facts).items()
                 if patched or handler not in (*DEFERRAL, POLICY)}
    tracepoints = {program: row for program, row in TRACEPOINTS.items()
                   if row.symbol in facts.symbols}
    inner: dict[str, str] = {}
    if phases:
        seen = findings.phases(facts)
        inner = {handler: name for one in PHASES if one.name in seen
                 for handler, name in chosen(facts, one.functions).items()}
        tracepoints |= {program: row for one in PHASES if one.name in seen
                        for program, row in one.events.items()}
        if ISOLATED.symbol in facts.symbols:
            tracepoints["isolated"] = ISOLATED
    cma = facts.structs["cma"]
    max_areas = min(facts.span // cma[""], MAX_AREAS) or MAX_AREAS
    ranges = _ranges(facts.structs)
    return Plan(
        attach="kprobe" if attach == "kprobe" else "fentry",
        fallback=attach == "auto",
        functions=functions, phases=inner,
        tracepoints={program: row.event for program, row in tracepoints.items()},
        defines=(_function_defines(facts, functions | inner) | _phase_defines(facts, phases)
                 | _struct_defines(facts, ranges, patched)
                 | {"MAX_AREAS": max_areas, "FLIGHTS": 1 << max_areas.bit_length()}
                 | {row.macro: 1 for row in tracepoints.values()}),
        structs=facts.structs, ranges=ranges,
        cma_areas=facts.symbols["cma_areas"],
        cma_area_count=facts.symbols["cma_area_count"],
        mem_section=facts.symbols.get("mem_section", 0),
        max_areas=max_areas, patched=patched,
        dmabuf_list=findings.dmabuf_list(facts),
        cma_heap_ops=facts.symbols.get("cma_heap_buf_ops", 0),
        cma_mutex=facts.symbols.get(MUTEX, 0),
        notes=(*(f"{f.feature}: {f.detail}" for f in found
                 if f.state in ("missing", "limited")), *beside))


def _ranges(structs: Mapping[str, Mapping[str, int]]) -> Ranges:
    """One range in struct cma itself, or the ranges[] of Linux 6.15 and later."""
    cma = structs["cma"]
    if "nranges" not in cma:
        return Ranges(cma["base_pfn"], cma["count"], cma["bitmap"])
    one = structs["cma_memrange"]
    return Ranges(one["base_pfn"], one["count"], one["bitmap"], cma["ranges"], one[""],
                  _room(cma, "ranges") // one[""], cma["nranges"])


def _function_defines(facts: Facts, functions: Mapping[str, str]) -> dict[str, int | str]:
    """Each function's name, and how many arguments it has: its return value is behind them."""
    defines: dict[str, int | str] = {}
    rows = {**HANDLERS, **{key: row for one in PHASES for key, row in one.functions.items()}}
    for handler, name in functions.items():
        row = rows[handler]
        defines |= {row.macro: name, row.nargs: len(facts.typed.get(name, row.reads))}
    return defines


def _phase_defines(facts: Facts, phases: bool) -> dict[str, int | str]:
    if not phases:
        return {}
    cma = facts.structs["cma"]
    return {"WITH_PHASES": 1, **({"CMA_MUTEX": cma["alloc_mutex"]} if "alloc_mutex" in cma else {})}


def _struct_defines(facts: Facts, ranges: Ranges, patched: bool) -> dict[str, int | str]:
    cma = facts.structs["cma"]
    defines: dict[str, int | str] = {
        **division(cma[""]), "CMA_ORDER": cma["order_per_bit"],
        "RANGE_COUNT": ranges.count, "RANGE_BITMAP": ranges.bitmap,
        "PAGE_STRUCT_SIZE": facts.structs["page"][""]}
    if "flags" in facts.structs.get("task_struct", {}):
        defines["TASK_FLAGS"] = facts.structs["task_struct"]["flags"]
    # a helper of 5.11 on
    if "comm" in facts.structs.get("task_struct", {}) and \
            "bpf_get_current_task_btf" in facts.symbols:
        defines["TASK_COMM"] = facts.structs["task_struct"]["comm"]
    if {"nr_pages_succeeded", "nr_pages_failed"} <= cma.keys():
        defines |= {"CMA_SUCCEEDED": cma["nr_pages_succeeded"],
                    "CMA_FAILED": cma["nr_pages_failed"]}
    if patched:
        extent = facts.structs["cma_defer_free_area"]
        defines |= {"CMA_DEFER_COUNT": cma["defer_count"], "CMA_BATCH": cma["batch"],
                    "CMA_DEFER_FREE": cma["defer_free"], "EXTENT_SIZE": extent[""],
                    "EXTENT_PFN": extent["pfn"], "EXTENT_COUNT": extent["count"],
                    "EXTENT_LIST": extent["list"]}
        if "policy" in cma:
            defines["CMA_POLICY"] = cma["policy"]
        if "shrinker" in cma:
            defines["CMA_SHRINKER"] = cma["shrinker"]
            defines["SC_NR_TO_SCAN"] = facts.structs["shrink_control"]["nr_to_scan"]
            shrinker = facts.structs.get("shrinker", {})
            # inside of struct cma, and not a pointer to it
            if "batch" in shrinker and _room(cma, "shrinker") >= shrinker[""]:
                defines["CMA_SHRINKER_BATCH"] = cma["shrinker"] + shrinker["batch"]
            elif {"private_data", "batch"} <= shrinker.keys():  # shrinker_alloc(), Linux 6.7
                defines |= {"SHRINKER_PRIVATE_DATA": shrinker["private_data"],
                            "SHRINKER_BATCH": shrinker["batch"]}
    return defines


def division(size: int) -> dict[str, int | str]:
    """What divides a difference of addresses by a size in bytes: index_of() of probes/thread.h."""
    shift = (size & -size).bit_length() - 1
    return {"CMA_SIZE_SHIFT": shift,
            "CMA_SIZE_INVERSE": f"{pow(size >> shift, -1, 1 << 64):#x}ULL"}


def _room(struct: Mapping[str, int], member: str) -> int:
    """Bytes from the member to the next, or to the struct's end."""
    at = struct[member]
    ends = [offset for name, offset in struct.items() if name and offset > at]
    return min(ends, default=struct[""]) - at
