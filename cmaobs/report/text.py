# SPDX-License-Identifier: GPL-2.0
"""Report data drawn as text. Knows nothing but the dicts of report.data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs.report import dmabufs, phases, where, who, why
from cmaobs.report.advice import advice
from cmaobs.report.times import bounds, seconds

Data = Mapping[str, Any]

_KINDS = (("alloc_hit", "cma_alloc, hit"), ("alloc_contig", "cma_alloc, contig"),
          ("alloc_failed", "cma_alloc, failed"), ("contig", "alloc_contig_range"),
          ("release_deferred", "cma_release, deferred"),
          ("release_direct", "cma_release, direct"), ("scan", "cma_defer_free_scan"))
_SHOWN_RUNS = 16
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "?")


def draw_summary(data: Data) -> str:
    """The report of check, serve and replay, for people."""
    lines = [_kernel(data["identity"])]
    for area in data["areas"]:
        lines += ["", *_area(area)]
    lines += dmabufs.lines(data)
    lines += ["", _losses(data)]
    lines += list(_counts(data["counts_compared"]))
    lines += [f"warning: {warning}" for warning in data["warnings"]]
    if data["impossible_records"]:
        lines.append(f"{data['impossible_records']} impossible records, the first with "
                     f"{data['first_impossible_record']}")
    if data["unjudged_records"]:
        lines.append(f"{data['unjudged_records']} records came after the last reading and "
                     "were not judged")
    lines += ["", *verdict_lines(data["verdict"])]
    return clean(lines)


def draw_snapshot(data: Data, grain: int | None = None) -> str:
    """The areas as they are, for people; grain: pages a character of the map."""
    lines = [_kernel(data["identity"])]
    for area in data["areas"]:
        lines += ["", f"area {area['name']}: pfn {area['base_pfn']:#x}, {area['pages']} pages"
                  f", order_per_bit {area['order_per_bit']}"]
        if area["fault"]:
            lines.append(f"  not readable: {area['fault']}")
            continue
        lines.append(_pages(area) + ("" if area["at_rest"] else "; not at rest"))
        lines += _runs("allocated", area["allocated_runs"])
        lines += _runs("deferred, newest first", area.get("extents", []))
        lines += where.lines(area, grain)
        if any(one["comm"] for one in area.get("holders", {}).get("callers", ())):
            lines += who.lines(area)
    lines += dmabufs.lines(data)
    return clean(lines)


def draw_rest(verdict: Data) -> str:
    """The verdict without its first divergence."""
    return clean([*_later(verdict), *_outcome(verdict)])


def status_line(data: Data) -> str:
    """One line of serve --status: totals over all areas, since the start."""
    areas = data["areas"]
    parts = []
    if any("misses" in area for area in areas):
        hits = sum(area.get("allocations", {}).get("hit", 0) for area in areas)
        contig = _sum(areas, "allocations", "contig")
        share = f" ({hits / (hits + contig):.1%} of granted)" if hits + contig else ""
        parts.append(f"hits {hits}{share}, misses {sum(a.get('misses', 0) for a in areas)}")
    parts.append(f"contig {_sum(areas, 'allocations', 'contig')}, "
                 f"failed {_sum(areas, 'allocations', 'failed')}")
    for kind, name in (("alloc_hit", "hit"), ("alloc_contig", "contig")):
        one = data["latency"].get(kind)
        if one:
            parts.append(f"{name} p50 {bounds(one['p50_s'])} p99 {bounds(one['p99_s'])}")
    if any("deferred_pages" in area for area in areas):
        parts.append(f"deferred {sum(a.get('deferred_pages', 0) for a in areas)}, "
                     f"reclaimed {sum(a.get('reclaimed_pages', 0) for a in areas)}")
    lost = sum(data["losses"].values())
    if lost:
        parts.append(f"lost {lost}")
    verdict = data["verdict"]
    parts.append(verdict["outcome"] if verdict else "no verdict")
    return clean([" | ".join(parts)]).rstrip("\n")


def verdict_lines(verdict: Data | None) -> Iterator[str]:
    """The verdict with its reasons and its divergences."""
    if verdict is None:
        yield "verdict: none"
        return
    if verdict["divergences"]:
        yield from divergence_lines(verdict["divergences"][0])
        yield from _later(verdict)
        yield ""
    yield from _outcome(verdict)


def _outcome(verdict: Data) -> Iterator[str]:
    yield f"verdict: {verdict['outcome']}"
    why = "unknown because" if verdict["outcome"] == "unknown" else "not all is known:"
    for reason in verdict["reasons"]:
        yield f"  {why} {reason}"
    for help_ in advice(verdict["reasons"]):
        yield f"  what helps: {help_}"


def _later(verdict: Data) -> Iterator[str]:
    """The roots behind the first, without their operations, and how many followed."""
    roots = verdict["divergences"]
    for one in roots[1:]:
        yield ""
        yield f"later: {one['rule']} in area {one['area']}{place(one)}"
        yield f"  expected  {one['expected']}"
        yield f"  observed  {one['observed']}"
        yield from _evidence(one)
    more = sum(verdict["by_rule"].values()) - len(roots)
    if more > 0:
        following = verdict["following"]
        yield (f"and {more} more divergence{'s' * (more > 1)}"
               + ("" if not following else ", which may follow from one before"
                  if following == more else f", of which {following} may follow from one before")
               + "; by rule: "
               + ", ".join(f"{rule} {count}" for rule, count in verdict["by_rule"].items()))


def place(one: Data) -> str:
    """The pages of a divergence, the first few runs."""
    where = ", ".join(f"pfn {pfn:#x}+{count}" for pfn, count in one["pages"][:_SHOWN_RUNS])
    more = len(one["pages"]) - _SHOWN_RUNS
    return (f" at {where}" if where else "") + (f" and {more} more" if more > 0 else "")


def _evidence(one: Data) -> Iterator[str]:
    if one["evidence"]:
        yield f"  evidence  {one['evidence']}"


def divergence_lines(one: Data) -> Iterator[str]:
    """A divergence: rule, place, both values, and the operations that led there."""
    yield f"divergence from {one['rule']} in area {one['area']}{place(one)}"
    yield f"  expected  {one['expected']}"
    yield f"  observed  {one['observed']}"
    yield from _evidence(one)
    if one["operations"]:
        first = one["operations"][0]["start_ns"]
        yield f"  led there (us after {first} ns):"
        for op in one["operations"]:
            yield f"    {record_line(op, first)}"
            for call in op["calls"]:
                yield f"      {record_line(call, first)}"


def record_line(one: Data, first_ns: int) -> str:
    """An operation or call on one line."""
    start, end = ((one[key] - first_ns) / 1e3 for key in ("start_ns", "end_ns"))
    path = "" if one["path"] == "none" else f" {one['path']}"
    return (f"{start:.1f}..{end:.1f} {one['comm']}/{one['tid']} cpu {one['cpu']}: "
            f"{one['kind']}{path} pfn {one['pfn']:#x}+{one['count']} ret {one['ret']}"
            f" defer_count {one['defer_entry']}->{one['defer_exit']}")


def _kernel(identity: Data) -> str:
    patched = {"yes": "defers", "no": "does not defer"}.get(identity.get("patched", ""), "")
    parts = (f"kernel {identity.get('release', 'unknown')}", identity.get("machine", ""), patched,
             f"probed by {identity['attach']}" if identity.get("attach", "none") != "none" else "",
             f"clock {identity['clocksource']}" if "clocksource" in identity else "")
    return ", ".join(part for part in parts if part)


def _area(area: Data) -> Iterator[str]:
    yield f"area {area['name']}: {area['pages']} pages"
    if "operations" in area:
        undecided = ", ".join(f"{count} {reason}" for reason, count in area["undecided"].items())
        rest = (f", the last {area['last_rest_age_s']:.1f} s before the end"
                if "last_rest_age_s" in area else "")
        yield (f"  operations   {area['operations']} seen, {area['decided']} decided"
               + (f", undecided: {undecided}" if undecided else ""))
        yield f"  compared     page by page at rest {area['rests']} times{rest}"
        if area["torn"]:
            yield (f"               and {area['torn']} times in motion, where no operation "
                   "could have changed it")
        if area["longest_uncompared_s"] > 1:
            yield (f"               but once not for {area['longest_uncompared_s']:.1f} s: "
                   f"{area['longest_uncompared_why']}")
    if "allocations" in area:
        failures = ", ".join(f"{name} {count}" for name, count in area["failures"].items())
        share = area.get("hit_share")
        yield ("  allocations  " + _named(area["allocations"])
               + (f" ({failures})" if failures else "")
               + (f"; {share:.1%} of the granted were hits" if share is not None else ""))
        yield from why.lines(area)
        yield "  releases     " + _named(area["releases"])
        if "misses" in area:
            yield (f"  misses       {area['misses']}, which flushed {area['flushed_pages']} pages")
            yield (f"  scans        {area['scans']}, {area['scans_stopped']} stopped; asked for "
                   f"{area['asked_pages']} pages, reclaimed {area['reclaimed_pages']}")
    if "allocated_pages" in area:
        yield _pages(area)
    yield from who.lines(area)
    rows = [(name, area["latency"][kind]) for kind, name in _KINDS
            if kind in area.get("latency", {})]
    if rows:
        yield f"  {'latency':<24}{'count':>9}{'mean':>12}  {'p50':<18}p99"
    for name, one in rows:
        yield (f"    {name:<22}{one['count']:>9}{seconds(one['mean_s']):>12}"
               f"  {bounds(one['p50_s']):<18}{bounds(one['p99_s'])}")
    yield from phases.lines(area)


def _pages(area: Data) -> str:
    deferred = ""
    if "deferred_pages" in area:
        deferred = f"{area['deferred_pages']} deferred"
        if "deferred_extents" in area:
            deferred += f" in {area['deferred_extents']} extents"
        deferred += ", "
    batch = f"; batch {area['batch']}" if "batch" in area else ""
    batch += f", policy {area['policy']}" if "policy" in area else ""
    return (f"  pages        {area['allocated_pages']} allocated, {deferred}"
            f"{area['free_pages']} free; largest clear run "
            f"{area['largest_clear_run_pages']}{batch}")


def _losses(data: Data) -> str:
    lost = {kind: count for kind, count in data["losses"].items() if count}
    return (f"records: {data['records']} in {data['readings']} readings; lost: "
            + (", ".join(f"{kind} {count}" for kind, count in lost.items()) or "nothing")
            + (f"; {data['stacks']} kernel stacks, {data['stacks_failed']} operations without"
               if "stacks" in data else ""))


def _counts(compared: Data) -> Iterator[str]:
    yield (f"counts made in the kernel against records: {compared['readings']} compared, "
           f"{compared['exact']} equal to the last digit, {compared['mismatched']} mismatched")
    yield from (f"  {mismatch}" for mismatch in compared["mismatches"])


def _runs(what: str, runs: list[list[int]]) -> Iterator[str]:
    for pfn, count in runs[:_SHOWN_RUNS]:
        yield f"    {what}: pfn {pfn:#x}, {count} pages"
    if len(runs) > _SHOWN_RUNS:
        yield f"    {what}: {len(runs) - _SHOWN_RUNS} more; --json has them all"


def _named(counts: Data) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _sum(areas: list[Data], key: str, member: str) -> int:
    return sum(area.get(key, {}).get(member, 0) for area in areas)


def clean(lines: list[str]) -> str:
    """Lines as text; control characters, which a thread's name may hold, are replaced."""
    return "".join(line.translate(_CONTROLS).rstrip() + "\n" for line in lines)
