# SPDX-License-Identifier: GPL-2.0
"""From facts to probes: a pure function, so that any kernel's facts can test it.

What is here decides; nothing here reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmaobs.errors import CmaobsError, PrivilegeError, UnsupportedError
from cmaobs.kernel.facts import BAD_CLOCKS, MEMBERS, Facts

Attach = Literal["auto", "kprobe", "fentry"]
CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39
MAX_AREAS = 64  # where the size of cma_areas[] cannot be told

# Handler in probes/ -> macro that names its function -> symbols to try in turn.
HANDLERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "cma_alloc": ("ALLOC_FN", ("cma_alloc",)),
    # 6.12 to 6.19, beside cma_alloc; cma_free_folio calls cma_release
    "alloc_order": ("ALLOC_ORDER_FN", ("cma_alloc_folio",)),
    "cma_release": ("RELEASE_FN", ("cma_release",)),
    "contig": ("CONTIG_FN", ("alloc_contig_range", "alloc_contig_range_noprof")),
    "free": ("FREE_FN", ("free_contig_range", "free_contig_range_noprof")),
    "count": ("COUNT_FN", ("cma_defer_free_count",)),
    "scan": ("SCAN_FN", ("cma_defer_free_scan",)),
    "batch": ("BATCH_FN", ("cma_defer_set_batch",)),
}
REQUIRED = ("cma_alloc", "cma_release", "contig", "free")
DEFERRAL = ("count", "scan", "batch")  # of the patch series only


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile, attach and read.

    functions: kernel function by handler. defines: macros for the C compiler,
    struct offsets in bytes. cma_areas, mem_section, dmabuf_list, cma_heap_ops: addresses, 0 for
    none.
    max_areas: entries of cma_areas[]. attach: kprobe or fentry.
    notes: what is not observed on this kernel, one line each.
    """

    attach: Literal["kprobe", "fentry"]
    fallback: bool
    functions: Mapping[str, str]
    defines: Mapping[str, int | str]
    structs: Mapping[str, Mapping[str, int]]
    cma_areas: int
    cma_area_count: int
    mem_section: int
    max_areas: int
    patched: bool
    dmabuf_list: int = 0
    cma_heap_ops: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of ``doctor``: a feature, how it stands, and what to do."""

    feature: str
    state: Literal["ok", "missing", "limited", "unknown"]
    detail: str
    remedy: str = ""
    error: type[CmaobsError] | None = field(default=None, compare=False)


def doctor(facts: Facts) -> list[Finding]:
    """Every feature the observer uses, on this kernel; pure."""
    return [_cma(facts), _symbols(facts), _btf(facts), _privileges(facts), _kprobes(facts),
            _fentry(facts), _ring(facts), _headers(facts), _patched(facts), _dmabufs(facts),
            _clock(facts)]


def make(facts: Facts, attach: Attach = "auto") -> Plan:
    """The plan for these facts.

    Raises UnsupportedError or PrivilegeError for the first thing that is
    missing and cannot be done without.
    """
    for finding in doctor(facts):
        if finding.error is not None:
            raise finding.error(f"{finding.feature}: {finding.detail}", finding.remedy)
    fentry = _fentry(facts)
    if attach == "fentry" and fentry.state != "ok":
        raise UnsupportedError(f"fentry: {fentry.detail}", "use --attach kprobe")
    functions = {handler: name for handler, (_, names) in HANDLERS.items()
                 if (name := next((n for n in names if n in facts.symbols), None))}
    patched = _patched(facts).state == "ok"
    cma = facts.structs["cma"]
    max_areas = min(facts.span // cma[""], MAX_AREAS) or MAX_AREAS
    if not patched:
        functions = {h: n for h, n in functions.items() if h not in DEFERRAL}
    return Plan(
        attach="kprobe" if attach == "kprobe" or fentry.state != "ok" else "fentry",
        fallback=attach == "auto",
        functions=functions,
        defines=_defines(facts, functions, patched, max_areas),
        structs=facts.structs,
        cma_areas=facts.symbols["cma_areas"],
        cma_area_count=facts.symbols["cma_area_count"],
        mem_section=facts.symbols.get("mem_section", 0),
        max_areas=max_areas, patched=patched,
        dmabuf_list=_dmabuf_list(facts), cma_heap_ops=facts.symbols.get("cma_heap_buf_ops", 0),
        notes=tuple(f"{f.feature}: {f.detail}" for f in doctor(facts)
                    if f.state in ("missing", "limited")))


def _defines(facts: Facts, functions: Mapping[str, str], patched: bool,
             max_areas: int) -> dict[str, int | str]:
    cma = facts.structs["cma"]
    defines: dict[str, int | str] = {HANDLERS[handler][0]: name
                                     for handler, name in functions.items()}
    defines |= {"CMA_SIZE": cma[""], "CMA_COUNT": cma["count"], "CMA_BITMAP": cma["bitmap"],
                "CMA_ORDER": cma["order_per_bit"], "MAX_AREAS": max_areas,
                "PAGE_STRUCT_SIZE": facts.structs["page"][""]}
    if "flags" in facts.structs.get("task_struct", {}):
        defines["TASK_FLAGS"] = facts.structs["task_struct"]["flags"]
    if {"nr_pages_succeeded", "nr_pages_failed"} <= cma.keys():
        defines |= {"CMA_SUCCEEDED": cma["nr_pages_succeeded"],
                    "CMA_FAILED": cma["nr_pages_failed"]}
    if patched:
        extent = facts.structs["cma_defer_free_area"]
        defines |= {"CMA_DEFER_COUNT": cma["defer_count"], "CMA_BATCH": cma["batch"],
                    "CMA_DEFER_FREE": cma["defer_free"], "EXTENT_SIZE": extent[""],
                    "EXTENT_PFN": extent["pfn"], "EXTENT_COUNT": extent["count"],
                    "EXTENT_LIST": extent["list"]}
        if "shrinker" in cma:
            defines["CMA_SHRINKER"] = cma["shrinker"]
            defines["SC_NR_TO_SCAN"] = facts.structs["shrink_control"]["nr_to_scan"]
            if _embeds(cma, "shrinker", shrinker := facts.structs.get("shrinker", {})):
                defines["CMA_SHRINKER_BATCH"] = cma["shrinker"] + shrinker["batch"]
            elif {"private_data", "batch"} <= shrinker.keys():  # shrinker_alloc(), Linux 6.7
                defines |= {"SHRINKER_PRIVATE_DATA": shrinker["private_data"],
                            "SHRINKER_BATCH": shrinker["batch"]}
    return defines


def _embeds(outer: Mapping[str, int], member: str, inner: Mapping[str, int]) -> bool:
    """Whether the member has room for the struct, so that it is not a pointer to it."""
    at = outer[member]
    ends = min(offset for offset in outer.values() if offset > at)
    return "batch" in inner and ends - at >= inner[""]


def _cma(facts: Facts) -> Finding:
    if "cma_alloc" in facts.symbols or "cma" in facts.structs:
        areas = "" if facts.areas is None else f"areas: {', '.join(facts.areas) or 'none'}"
        return Finding("CMA", "ok", areas or "built in")
    if facts.kallsyms_error:
        return Finding("CMA", "unknown", facts.kallsyms_error, "mount /proc",
                       error=UnsupportedError)
    return Finding("CMA", "missing", "this kernel has no cma_alloc",
                   "use a kernel built with CONFIG_CMA=y", error=UnsupportedError)


def _symbols(facts: Facts) -> Finding:
    missing = [HANDLERS[h][1][0] for h in REQUIRED
               if not any(n in facts.symbols for n in HANDLERS[h][1])]
    missing += [s for s in ("cma_areas", "cma_area_count") if s not in facts.symbols]
    if missing:
        return Finding("symbols", "missing", f"not in /proc/kallsyms: {', '.join(missing)}",
                       "use a kernel built with CONFIG_KALLSYMS_ALL=y, of a version up to 6.14",
                       error=UnsupportedError)
    if not facts.symbols["cma_areas"]:
        return Finding("symbols", "missing", "/proc/kallsyms hides addresses",
                       "run as root, with kernel.kptr_restrict below 2",
                       error=PrivilegeError)
    return Finding("symbols", "ok", "all found in /proc/kallsyms")


def _btf(facts: Facts) -> Finding:
    if facts.btf_error:
        return Finding("BTF", "missing", facts.btf_error,
                       "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
                       error=UnsupportedError)
    cma = facts.structs.get("cma")
    if cma is None:
        return Finding("BTF", "missing", "struct cma is not described", "see CMA",
                       error=UnsupportedError)
    needed = {"base_pfn", "count", "bitmap", "order_per_bit", "name"}
    if not needed <= cma.keys():
        lacking = ", ".join(sorted(needed - cma.keys()))
        return Finding("BTF", "missing", f"struct cma has no {lacking}",
                       "areas of several ranges (Linux 6.15 and later) are not read yet",
                       error=UnsupportedError)
    return Finding("BTF", "ok", f"struct cma of {cma['']} bytes")


def _privileges(facts: Facts) -> Finding:
    have = facts.capabilities
    bpf = have >> CAP_SYS_ADMIN & 1 or (have >> CAP_BPF & 1 and have >> CAP_PERFMON & 1)
    if not bpf:
        return Finding("privileges", "missing", "neither CAP_SYS_ADMIN nor CAP_BPF + CAP_PERFMON",
                       "run as root", error=PrivilegeError)
    if facts.lockdown == "confidentiality":
        return Finding("privileges", "missing", "the kernel is locked down: confidentiality",
                       "boot without lockdown=confidentiality", error=PrivilegeError)
    return Finding("privileges", "ok", "may load BPF programs and trace")


def _kprobes(facts: Facts) -> Finding:
    if facts.kprobe_pmu:
        return Finding("kprobes", "ok", "returns can be missed when many threads wait; counted")
    return Finding("kprobes", "missing", "no kprobe event source",
                   "use a kernel built with CONFIG_KPROBE_EVENTS=y and CONFIG_BPF_EVENTS=y",
                   error=UnsupportedError)


def _fentry(facts: Facts) -> Finding:
    if "bpf_trampoline_link_prog" not in facts.symbols:
        return Finding("fentry", "missing", "the kernel has no BPF trampolines",
                       "kprobes are used instead")
    if "register_ftrace_direct" not in facts.symbols:
        return Finding("fentry", "missing", "the kernel has no direct ftrace calls",
                       "kprobes are used instead; CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y")
    untyped = [name for h in (*REQUIRED, "alloc_order") for name in HANDLERS[h][1]
               if name in facts.symbols and name not in facts.typed]
    if untyped:
        return Finding("fentry", "missing", f"BTF does not describe {', '.join(untyped)}",
                       "kprobes are used instead")
    return Finding("fentry", "ok", "available")


def _ring(facts: Facts) -> Finding:
    if "bpf_ringbuf_reserve" in facts.symbols:
        return Finding("BPF ring buffer", "ok", "available")
    return Finding("BPF ring buffer", "missing", "this kernel has none",
                   "use Linux 5.8 or later with CONFIG_BPF_SYSCALL=y", error=UnsupportedError)


def _headers(facts: Facts) -> Finding:
    if facts.headers:
        return Finding("kernel headers", "ok", facts.headers)
    return Finding("kernel headers", "missing", f"none for {facts.release}",
                   "install linux-headers for this kernel, or load the kheaders module",
                   error=UnsupportedError)


def _patched(facts: Facts) -> Finding:
    cma = facts.structs.get("cma", {})
    if not {"defer_free", "defer_count", "batch"} <= cma.keys():
        return Finding("deferred freeing", "missing", "struct cma has no defer_free",
                       "see deploy/kernel for the patches; all else is observed without them")
    if "cma_defer_free_area" not in facts.structs:
        return Finding("deferred freeing", "limited", "BTF has no struct cma_defer_free_area",
                       "use a kernel whose extents are of that type")
    unseen = [n for h in ("scan", "batch") for n in HANDLERS[h][1] if n not in facts.symbols]
    if unseen:
        return Finding("deferred freeing", "ok", f"patched; not seen: {', '.join(unseen)}",
                       "the verdict is unknown where these give pages back")
    return Finding("deferred freeing", "ok", "patched")


def _dmabuf_list(facts: Facts) -> int:
    """The list of all dma-bufs, under its names since 6.16, 6.10 and before."""
    return next((facts.symbols[name] for name in ("dmabuf_list", "debugfs_list", "db_list")
                 if name in facts.symbols), 0)


def _dmabufs(facts: Facts) -> Finding:
    lacking = [name for name, members in MEMBERS.items()
               if name != "task_struct" and not set(members) <= facts.structs.get(name, {}).keys()]
    if "cma_heap_buf_ops" not in facts.symbols or not _dmabuf_list(facts):
        return Finding("dma-bufs", "limited", "their pages are not known: no list of dma-bufs and "
                       "CMA heaps in /proc/kallsyms",
                       "a kernel with DMABUF_HEAPS_CMA and DEBUG_FS; who holds them is still seen")
    if lacking:
        return Finding("dma-bufs", "limited", "their pages are not known: BTF does not describe "
                       + ", ".join(lacking), "who holds them is still seen")
    return Finding("dma-bufs", "ok", "those of CMA heaps are known with their pages")


def _clock(facts: Facts) -> Finding:
    if facts.clocksource in BAD_CLOCKS:
        return Finding("clock", "limited",
                       f"clocksource {facts.clocksource}: latencies are multiples of a tick",
                       "give the kernel an HPET, ACPI PM timer or stable TSC")
    if not facts.clocksource:
        return Finding("clock", "unknown", "no clocksource in /sys", "mount /sys")
    return Finding("clock", "ok", facts.clocksource)
