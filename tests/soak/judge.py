# SPDX-License-Identifier: GPL-2.0
"""What must hold of a soak: the observer's report, and its memory over time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeVar

UNDECIDED = 0.001  # share of the operations, at most
GROWTH_KIB = 8 << 10  # of the observer's memory from the first quarter to the last, or
GROWTH = 0.1          # this share of the first quarter's, whichever is more
QUARTERS = 40         # readings of it that make quarters worth comparing

Report = Mapping[str, Any]
T = TypeVar("T")


def table(report: Report) -> list[str]:
    """What was seen, area by area and in all."""
    lines = []
    for area in report["areas"]:
        asked = {**area.get("allocations", {}), **area.get("releases", {})}
        lines.append(
            f"area {area['name']}: operations {area['operations']}, decided {area['decided']}, "
            f"undecided {undecided(area)}; compared at rest {area['rests']}, in motion "
            f"{area['torn']}; longest without {area['longest_uncompared_s']:.1f} s"
            + (f" ({area['longest_uncompared_why']})" if area["longest_uncompared_why"] else ""))
        lines.append("  " + ", ".join(f"{name} {n}" for name, n in asked.items())
                     + "".join(f", {name} {n}" for name, n in area.get("failures", {}).items())
                     + (f", scans {area['scans']}" if "scans" in area else ""))
        lines += [f"  undecided, {why}: {n}" for why, n in area["undecided"].items() if n]
    seen = operations(report)
    missed = sum(map(undecided, report["areas"]))
    lines.append(f"in all: operations {seen}, decided {seen - missed}, undecided {missed} "
                 f"({share(report):.4%})")
    lost = {kind: n for kind, n in report["losses"].items() if n}
    lines.append(f"records {report['records']}, readings {report['readings']}, lost: "
                 + (", ".join(f"{kind} {n}" for kind, n in lost.items()) or "nothing"))
    compared = report["counts_compared"]
    lines.append(f"counts of the kernel against records: {compared['readings']} compared, "
                 f"{compared['mismatched']} mismatched")
    lines.append(f"verdict: {report['verdict']['outcome']}")
    return lines


def memory(rss_kib: Sequence[int]) -> str:
    """The observer's memory, quarter by quarter."""
    if len(rss_kib) < QUARTERS:
        return f"observer's memory: {len(rss_kib)} readings, too few for quarters"
    parts = ", ".join(f"{median(part) / 1024:.1f}" for part in _quarters(rss_kib))
    return f"observer's memory, median of each quarter: {parts} MiB; most {max(rss_kib) >> 10} MiB"


def faults(report: Report, wanted: int, rss_kib: Sequence[int]) -> list[str]:
    """Why the soak failed, one line each; none where it passed."""
    found = []
    verdict = report["verdict"] or {"outcome": "none", "reasons": [], "divergences": []}
    if verdict["outcome"] != "agree":
        found.append(f"verdict {verdict['outcome']}: {'; '.join(verdict['reasons'])}")
    found += [f"{one['rule']}: area {one['area']}: expected {one['expected']}, observed "
              f"{one['observed']}; {one['evidence']}" for one in verdict["divergences"]]
    if operations(report) < wanted:
        found.append(f"{operations(report)} operations seen, {wanted} wanted")
    if share(report) >= UNDECIDED:
        reasons: Counter[str] = Counter()
        for area in report["areas"]:
            reasons.update(area["undecided"])
        found.append(f"undecided {share(report):.4%}, less than {UNDECIDED:.1%} wanted: "
                     + ", ".join(f"{why} {n}" for why, n in reasons.most_common() if n))
    if not any(area["rests"] + area["torn"] for area in report["areas"]):
        found.append("no snapshot was compared")
    if report["counts_compared"]["mismatched"]:
        found.append(f"counts mismatched: {report['counts_compared']['mismatches'][:1]}")
    return found + grown(rss_kib)


def grown(rss_kib: Sequence[int]) -> list[str]:
    """Why memory was not flat; nothing is said of fewer readings than make quarters."""
    if len(rss_kib) < QUARTERS:
        return []
    first, *_, last = [median(part) for part in _quarters(rss_kib)]
    if last <= first + max(GROWTH_KIB, GROWTH * first):
        return []
    return [f"the observer grew from {first:.0f} to {last:.0f} KiB"]


class Served(NamedTuple):
    """A look at `cmaobs serve`. file_bytes: of its recording and its evidence together."""

    rss_kib: int
    threads: int
    descriptors: int
    file_bytes: int
    verdict: str


def served(looks: Sequence[Served], made: object, counted: object) -> list[str]:
    """Why a long run of `serve` failed, one line each; none where it passed.

    made, counted: operations by area and kind, of the load and of the exporter.
    """
    if len(looks) < QUARTERS:
        return [f"{len(looks)} scrapes, {QUARTERS} wanted"]
    found = grown([one.rss_kib for one in looks])
    first, *_, last = _quarters(looks)
    for name in ("threads", "descriptors", "file_bytes"):
        most, later = (max(getattr(one, name) for one in part) for part in (first, last))
        if later > most:
            found.append(f"{name} grew from {most} to {later}")
    if any(one.verdict == "diverge" for one in looks):
        found.append("the verdict was diverge")
    if looks[-1].verdict != "agree":
        found.append(f"the verdict is {looks[-1].verdict} at the end")
    if made != counted:
        found.append(f"made {made}, counted {counted}")
    return found


def operations(report: Report) -> int:
    """Seen by the observer, in all areas."""
    return sum(area["operations"] for area in report["areas"])


def undecided(area: Mapping[str, Any]) -> int:
    """Operations of an area that were seen and not decided."""
    return sum(area["undecided"].values())


def share(report: Report) -> float:
    """Undecided ones of all operations; 1 where there were none."""
    return sum(map(undecided, report["areas"])) / (operations(report) or 1) \
        if operations(report) else 1.0


def _quarters(values: Sequence[T]) -> list[Sequence[T]]:
    size = len(values) // 4
    return [values[i * size:(i + 1) * size] for i in range(4)]
