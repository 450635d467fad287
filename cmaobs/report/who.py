# SPDX-License-Identifier: GPL-2.0
"""Who holds the pages of an area, and who asked: data, and the lines drawn from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cmaobs.state import AreaFacts
from cmaobs.view import View
from cmaobs.who import BEFORE, MISSED, Caller, Holders
from cmaobs.who.book import Piece
from cmaobs.who.drivers import folded
from cmaobs.who.ledger import Counts

Data = Mapping[str, Any]

_SHOWN = 12
_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (0.0, "s"))
_PSEUDO = {BEFORE.kind: "allocated before the observer came",
           MISSED.kind: "allocation not seen"}


def held(view: View, facts: AreaFacts) -> dict[str, Any]:
    """One area: {"holders": ...} where allocations were followed, or nothing.

    pages: by what is known of their allocation. callers: those that hold most first. runs: every
    run of pages as first pfn, pages, age in s, and its caller's place among callers.
    """
    holders = view.holders
    if holders is None:
        return {}
    pieces = holders.pieces.get(facts.index, ())
    counts = {caller: one for (index, caller), one in holders.callers.items()
              if index == facts.index}
    by_caller: dict[Caller, list[Piece]] = {caller: [] for caller in counts}
    for piece in pieces:
        by_caller.setdefault(piece.caller, []).append(piece)
    rows = [_caller(caller, counts.get(caller, Counts()), theirs, holders, view)
            for caller, theirs in by_caller.items()]
    order = sorted(range(len(rows)), key=lambda at: -rows[at]["held_pages"])
    callers = tuple(by_caller)
    place = {callers[at]: rank for rank, at in enumerate(order)}
    forgotten = holders.forgotten.get(facts.index, Counts())
    return {"holders": {
        "exact": holders.exact.get(facts.index, False),
        "pages": known(pieces, holders),
        "callers": [rows[at] for at in order],
        "callers_forgotten": {"allocations": forgotten.allocations, "pages": forgotten.pages,
                              "failures": dict(forgotten.failures)},
        "runs": [[piece.pfn, piece.pages, _age_s(piece, holders), place[piece.caller]]
                 for piece in pieces]}}


def known(pieces: Iterable[Piece], holders: Holders) -> dict[str, int]:
    """Pages held, by what is known of their allocation: see docs/who.md."""
    found = {"seen": 0, "uncertain": 0, BEFORE.kind: 0, MISSED.kind: 0}
    for piece in pieces:
        found["seen" if holders.certain(piece) else
              piece.caller.kind if piece.caller.unseen else "uncertain"] += piece.pages
    return found


def _caller(caller: Caller, counts: Counts, pieces: list[Piece], holders: Holders,
            view: View) -> dict[str, Any]:
    frames = view.stacks.get(caller.stack, ())
    return {"kind": caller.kind, "comm": caller.comm, "pid": caller.pid, "driver": caller.driver,
            "held_pages": sum(piece.pages for piece in pieces), "held_runs": len(pieces),
            "oldest_s": max((_age_s(piece, holders) for piece in pieces), default=None),
            "allocations": counts.allocations, "pages": counts.pages,
            "failures": dict(counts.failures), "stack": folded(frames)}


def _age_s(piece: Piece, holders: Holders) -> float:
    return max(holders.at_ns - piece.since_ns, 0) / 1e9


def lines(area: Data) -> Iterator[str]:
    """The holders of one area of a report."""
    if "holders" not in area:
        return
    holders = area["holders"]
    pages = holders["pages"]
    parts = [f"{sum(pages.values())} pages"]
    parts += [text.format(pages[what]) for what, text in (
        ("uncertain", "{} since before records were lost: may have changed hands"),
        (BEFORE.kind, "{} allocated before the observer came"),
        (MISSED.kind, "{} whose allocation was not seen")) if pages[what]]
    yield ("  held         " + ", ".join(parts)
           + ("" if holders["exact"] else "; not compared with the bitmap at rest"))
    rows = merged(holders["callers"])
    if not rows:
        return
    yield f"    {'pages':>8}{'runs':>7}{'oldest':>10}{'allocs':>9}{'failed':>8}  caller, driver"
    yield from map(_line, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        rest = rows[_SHOWN:]
        yield (f"    {sum(row['held_pages'] for row in rest):>8}"
               f"{sum(row['held_runs'] for row in rest):>7}{'':>10}"
               f"{sum(row['allocations'] for row in rest):>9}"
               f"{sum(row['failed'] for row in rest):>8}  {len(rest)} more; --json has them all")


def merged(callers: list[Data]) -> list[dict[str, Any]]:
    """Callers whose rows differ in the stack only, as one; those that hold most first."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in callers:
        key = one["kind"], one["comm"], one["pid"], one["driver"]
        failed = sum(one["failures"].values())
        if key in found:
            row = found[key]
            for name in ("held_pages", "held_runs", "allocations"):
                row[name] += one[name]
            row["failed"] += failed
            row["oldest_s"] = max((age for age in (row["oldest_s"], one["oldest_s"])
                                   if age is not None), default=None)
        else:
            found[key] = {**one, "failed": failed}
    return sorted(found.values(), key=lambda row: (-row["held_pages"], -row["allocations"]))


def name(row: Data) -> str:
    """A caller: name, process and driver, or why that is not known."""
    who = (f"{row['comm']}[{row['pid']}]" + (" (kernel)" if row["kind"] == "kthread" else "")
           + ("" if row["driver"] == "unknown" else f", {row['driver']}"))
    if row["kind"] in _PSEUDO:
        return f"{who}, {_PSEUDO[row['kind']]}" if row["comm"] else _PSEUDO[row["kind"]]
    return who


def _line(row: Data) -> str:
    oldest = "" if row["oldest_s"] is None else age(row["oldest_s"])
    return (f"    {row['held_pages']:>8}{row['held_runs']:>7}{oldest:>10}{row['allocations']:>9}"
            f"{row['failed']:>8}  {name(row)}")


def age(seconds: float) -> str:
    """A time that a person waits: 12.3 s, 5.0 min, 2.1 d."""
    scale, unit = next((s, u) for s, u in _AGES if seconds >= s)
    return f"{seconds / (scale or 1):.1f} {unit}"
