# SPDX-License-Identifier: GPL-2.0
"""What can be observed on a kernel, feature by feature: rows of ``doctor``. Pure.

A row of an operation names the kernel functions at which it is seen. What a row says of versions
is from the sources that cmaobs.kernel.handlers names.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmaobs.kernel.facts import MEMBERS, Facts
from cmaobs.kernel.findings import Finding, chosen, deferral, dmabuf_list, phases
from cmaobs.kernel.handlers import (
    ALLOCATIONS,
    CALLS,
    DEFERRAL,
    HANDLERS,
    PHASES,
    POLICY,
    RELEASES,
    TRACEPOINTS,
)


def features(facts: Facts) -> list[Finding]:
    """A row for each feature; a row that is not ok says what is not seen, and what would help."""
    return [_seen("allocations", ALLOCATIONS, facts), _seen("releases", RELEASES, facts),
            _seen("contig calls", CALLS, facts), _failures(facts), _busy(facts),
            _release_event(facts), _phases(facts),
            deferral(facts), _shrinker(facts), _areas(facts), _page_numbers(facts), _callers(facts),
            _dmabufs(facts), _verdict(facts)]


def _seen(feature: str, handlers: Sequence[str], facts: Facts) -> Finding:
    """An operation, seen at any of some functions."""
    found = {name: HANDLERS[handler].reads for handler, name in chosen(facts).items()
             if handler in handlers}
    if not found:
        return Finding(feature, "missing", "no function of the kernel is known for them",
                       "see symbols")
    others = [f"{name}({', '.join(facts.typed[name])})" for name, reads in found.items()
              if name in facts.typed and facts.typed[name][:len(reads)] != reads]
    if others:
        return Finding(feature, "limited", f"arguments have other names than they are read by: "
                       f"{', '.join(others)}",
                       "report this kernel: what is read may not be what it is taken for")
    return Finding(feature, "ok", f"seen at {', '.join(found)}")


def _failures(facts: Facts) -> Finding:
    contig = chosen(facts).get("contig")
    if contig is None:
        return Finding("failures", "missing", "the error of the contig function is not seen",
                       "see symbols")
    also = " (EBUSY in the kernel's own event)" if _ranged(facts) else ""
    return Finding("failures", "ok", "by errno: ENOMEM where no run of clear bits was long "
                   f"enough{also}, else what {contig} returned")


def _busy(facts: Facts) -> Finding:
    event = TRACEPOINTS["busy_page"]
    if event.symbol not in facts.symbols:
        return Finding("busy pages", "limited", f"which pages stay busy is not seen: no event "
                       f"{event.event}", "use a kernel built with CONFIG_BPF_EVENTS=y")
    told = ("" if "_refcount" in facts.structs.get("page", {}) else
            "; their references are not known")
    return Finding("busy pages", "ok", f"the first that stays in each call, by {event.event}{told}")


def _release_event(facts: Facts) -> Finding:
    event = TRACEPOINTS["release_event"]
    if event.symbol not in facts.symbols:
        return Finding("release event", "limited", "a release without its trace event, which R2 "
                       f"asks for, is not seen: no event {event.event}",
                       "use a kernel built with CONFIG_BPF_EVENTS=y")
    return Finding("release event", "ok", f"whether each release fires {event.event} (R2)")


def _phases(facts: Facts) -> Finding:
    seen = phases(facts)
    parts = [symbol for one in PHASES if one.name in seen for row in one.functions.values()
             if (symbol := row.symbols[0]) and not set(row.symbols) & facts.symbols.keys()]
    unseen = [one.name for one in PHASES if one.name not in seen] + parts
    if unseen:
        return Finding("phases", "limited", f"not seen: {', '.join(unseen)}; that time is "
                       "unexplained, or of the phase around it", "a kernel of 6.1 or later with "
                       "CONFIG_KALLSYMS_ALL=y and CONFIG_BPF_EVENTS=y shows all")
    return Finding("phases", "ok", ", ".join(seen) + "; with --phases")


def _shrinker(facts: Facts) -> Finding:
    if deferral(facts).state != "ok":
        return Finding("shrinker", "missing", "only deferred freeing has one",
                       "see deferred freeing")
    found = chosen(facts)
    unseen = [HANDLERS[handler].symbols[0] for handler in DEFERRAL if handler not in found]
    if unseen:
        return Finding("shrinker", "limited", f"not seen: {', '.join(unseen)}",
                       "the verdict is unknown where these give pages back")
    return Finding("shrinker", "ok", "seen at " + ", ".join(found[one] for one in DEFERRAL))


def _areas(facts: Facts) -> Finding:
    if not {"cma_areas", "cma_area_count"} <= facts.symbols.keys() or "cma" not in facts.structs:
        return Finding("area state", "missing", "where the areas are is not known",
                       "see symbols and BTF")
    return Finding("area state", "ok", "bitmap of " + (
        "each range of an area" if _ranged(facts) else "each area"))


def _page_numbers(facts: Facts) -> Finding:
    if "mem_section" in facts.symbols and "section_mem_map" in facts.structs.get(
            "mem_section", {}):
        return Finding("page numbers", "ok", "of every allocation and release")
    return Finding("page numbers", "limited", "the pages of hits and releases are not known: no "
                   "mem_section in /proc/kallsyms or BTF",
                   "use a kernel built with CONFIG_SPARSEMEM_VMEMMAP=y and CONFIG_KALLSYMS_ALL=y")


def _callers(facts: Facts) -> Finding:
    if "flags" in facts.structs.get("task_struct", {}):
        return Finding("callers", "ok", "by process or kernel thread, and with --stacks by stack")
    return Finding("callers", "limited", "kernel threads are not told from processes: BTF has no "
                   "task_struct.flags", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")


def _dmabufs(facts: Facts) -> Finding:
    lacking = [name for name, members in MEMBERS.items()
               if name != "task_struct" and not set(members) <= facts.structs.get(name, {}).keys()]
    if "cma_heap_buf_ops" not in facts.symbols or not dmabuf_list(facts):
        return Finding("dma-bufs", "limited", "their pages are not known: no list of dma-bufs and "
                       "CMA heaps in /proc/kallsyms",
                       "a kernel with DMABUF_HEAPS_CMA and DEBUG_FS; who holds them is still seen")
    if lacking:
        return Finding("dma-bufs", "limited", "their pages are not known: BTF does not describe "
                       + ", ".join(lacking), "who holds them is still seen")
    return Finding("dma-bufs", "ok", "those of CMA heaps are known with their pages")


def _verdict(facts: Facts) -> Finding:
    for needed in (_areas(facts), _page_numbers(facts)):
        if needed.state != "ok":
            return Finding("model verdict", needed.state, "mostly unknown: see "
                           + needed.feature, needed.remedy)
    policy = ("all rules" if deferral(facts).state == "ok"
              else "the rules that need no deferred freeing")
    if "policy" in facts.structs.get("cma", {}) and POLICY not in chosen(facts):
        return Finding("model verdict", "limited", "unknown: an area's policy can be written, and "
                       f"{HANDLERS[POLICY].symbols[0]} is not seen", "see symbols")
    several = ("; unknown for areas of several ranges, as hugetlb_cma makes them"
               if _ranged(facts) else "")
    return Finding("model verdict", "ok", f"by {policy}{several}")


def _ranged(facts: Facts) -> bool:
    """Whether an area may have several ranges: Linux 6.15 and later."""
    return "nranges" in facts.structs.get("cma", {})
