# SPDX-License-Identifier: GPL-2.0
"""What the observer needs of a kernel, and whether these facts have it: rows of doctor. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmaobs.errors import CmaobsError, PrivilegeError, UnsupportedError
from cmaobs.kernel.facts import BAD_CLOCKS, Facts
from cmaobs.kernel.handlers import HANDLERS, MUTEX, PHASES, REQUIRED, Handler

CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39
_RANGE = ("base_pfn", "count", "bitmap")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of ``doctor``: a feature, how it stands, and what to do."""

    feature: str
    state: Literal["ok", "missing", "limited", "unknown"]
    detail: str
    remedy: str = ""
    error: type[CmaobsError] | None = field(default=None, compare=False)


def needs(facts: Facts) -> list[Finding]:
    """What must be there, and by which means it is observed; ``error`` where nothing can be."""
    return [_cma(facts), _symbols(facts), _btf(facts), _privileges(facts), _kprobes(facts),
            fentry(facts), _ring(facts), _headers(facts), _clock(facts)]


def chosen(facts: Facts, rows: Mapping[str, Handler] = HANDLERS) -> dict[str, str]:
    """The function that each handler is attached to, as far as this kernel has one."""
    return {handler: name for handler, row in rows.items()
            if (name := next((n for n in row.symbols if n in facts.symbols), None))}


def phases(facts: Facts) -> list[str]:
    """The phases that can be seen: with a function at least, or with all their events."""
    found = [one.name for one in PHASES if chosen(facts, one.functions) or (
        one.events and all(event.symbol in facts.symbols for event in one.events.values()))]
    if not (MUTEX in facts.symbols or "alloc_mutex" in facts.structs.get("cma", {})):
        found = [name for name in found if name != "waiting"]
    return found


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
    missing = [HANDLERS[h].symbols[-1] for h in REQUIRED if h not in chosen(facts)]
    missing += [s for s in ("cma_areas", "cma_area_count") if s not in facts.symbols]
    if missing:
        return Finding("symbols", "missing", f"not in /proc/kallsyms: {', '.join(missing)}",
                       "use a kernel of 5.10 or later built with CONFIG_KALLSYMS_ALL=y",
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
    lacking = [f"struct cma has no {name}" for name in ("order_per_bit", "name")
               if name not in cma]
    if "nranges" in cma:
        one = facts.structs.get("cma_memrange", {})
        lacking += [f"struct cma_memrange has no {name}" for name in _RANGE if name not in one]
        lacking += [] if "ranges" in cma else ["struct cma has no ranges"]
    else:
        lacking += [f"struct cma has no {name}" for name in _RANGE if name not in cma]
    if lacking:
        return Finding("BTF", "missing", ", ".join(lacking),
                       "report this kernel: areas of this layout are not known",
                       error=UnsupportedError)
    kind = "ranges[]" if "nranges" in cma else "one range"
    return Finding("BTF", "ok", f"struct cma of {cma['']} bytes, {kind}")


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


def fentry(facts: Facts) -> Finding:
    if "bpf_trampoline_link_prog" not in facts.symbols:
        return Finding("fentry", "missing", "the kernel has no BPF trampolines",
                       "kprobes are used instead")
    if "register_ftrace_direct" not in facts.symbols:
        return Finding("fentry", "missing", "the kernel has no direct ftrace calls",
                       "kprobes are used instead; CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y")
    untyped = [name for name in chosen(facts).values() if name not in facts.typed]
    if untyped:
        return Finding("fentry", "missing", f"BTF does not describe {', '.join(untyped)}",
                       "kprobes are used instead")
    if facts.direct:
        return Finding("fentry", "ok", f"available; another tracer has {', '.join(facts.direct)}, "
                       "whose returns it would miss: kprobes are used unless told otherwise")
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


def deferral(facts: Facts) -> Finding:
    cma = facts.structs.get("cma", {})
    if not {"defer_free", "defer_count", "batch"} <= cma.keys():
        return Finding("deferred freeing", "missing", "struct cma has no defer_free",
                       "see deploy/kernel for the patches; all else is observed without them")
    if "cma_defer_free_area" not in facts.structs:
        return Finding("deferred freeing", "limited", "BTF has no struct cma_defer_free_area",
                       "use a kernel whose extents are of that type")
    policies = ", ".join(f"{area} {policy}" for area, policy in facts.policies.items())
    return Finding("deferred freeing", "ok",
                   f"patched; policy: {policies}" if policies else "patched")


def dmabuf_list(facts: Facts) -> int:
    """The list of all dma-bufs, under its names since 6.16, 6.10 and before."""
    return next((facts.symbols[name] for name in ("dmabuf_list", "debugfs_list", "db_list")
                 if name in facts.symbols), 0)


def _clock(facts: Facts) -> Finding:
    if facts.clocksource in BAD_CLOCKS:
        return Finding("clock", "limited",
                       f"clocksource {facts.clocksource}: latencies are multiples of a tick",
                       "give the kernel an HPET, ACPI PM timer or stable TSC")
    if not facts.clocksource:
        return Finding("clock", "unknown", "no clocksource in /sys", "mount /sys")
    return Finding("clock", "ok", facts.clocksource)
