# SPDX-License-Identifier: GPL-2.0
"""What was foretold from recordings with batch = 0, against what was measured with others.

    python tests/foretold/table.py DIRECTORY [FILE]     the table; FILE: between its marks, too
    python tests/foretold/table.py --figures DIRECTORY FILE    the figures of the package
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cmaobs.commands.whatif import gathered
from cmaobs.events import SHRINK_STOP, Kind, decode
from cmaobs.events import Path as Way
from cmaobs.recording import RecordingSource
from cmaobs.report.whatif_text import seconds
from cmaobs.source import Batch
from cmaobs.whatif import figures
from cmaobs.whatif.demand import REACH, Demand
from cmaobs.whatif.latency import measured
from cmaobs.whatif.search import Task, outcomes
from foretold.loads import FIGURES, LOADS, Load

_NAMES = ("hits", "p50", "p99")
_POLICIES = {"first-fit": "rfc", "deferred-first": "prefer-deferred+flush-overlap"}
_HEAD = ("| load | policy | batch | hits: foretold | measured | error | p50: foretold | measured "
         "| error | p99: foretold | measured | error | beyond |\n"
         "|---|---|---:|---|---:|---:|---|---:|---:|---|---:|---:|---|")
_SCANS = ("| load | policy | batch | reclaim asked: recorded | then | pages given back: foretold "
          "| measured | error | of its own questions | beyond |\n"
          "|---|---|---:|---:|---:|---|---:|---:|---:|---|")


class Compared(NamedTuple):
    """One value: foretold with its interval, and measured."""

    value: float
    low: float
    high: float
    measured: float

    @property
    def within(self) -> bool:
        """Whether the measured value lies in the interval; a rounding error does not count."""
        return self.low - 1e-9 <= self.measured <= self.high + 1e-9


class Row(NamedTuple):
    """A load under one policy, by the name that the area's file has for it, and one batch."""

    load: str
    policy: str
    batch: int
    reached: tuple[float, int]  # times that reclaim asked: recorded in each on average, and then
    hits: Compared
    p50: Compared
    p99: Compared
    scanned: Compared  # pages that the shrinker gave back
    again: tuple[float, int]  # hits and those pages by the replay of the run itself

    def __str__(self) -> str:
        beyond = [name for name in _NAMES if not getattr(self, name).within]
        hits = self.hits
        return " | ".join((
            f"| {self.load}", self.policy, str(self.batch), f"{hits.value:.1%} ({hits.low:.1%} to "
            f"{hits.high:.1%})", f"{hits.measured:.1%}", f"{hits.measured - hits.value:+.1%}",
            *_time(self.p50), *_time(self.p99), ", ".join(beyond))) + " |"

    @property
    def scans(self) -> str:
        """The row of what the shrinker did; empty where nobody came to it."""
        one = self.scanned
        if not (any(self.reached) or one.measured or one.value):
            return ""
        return " | ".join((
            f"| {self.load}", self.policy, str(self.batch), f"{self.reached[0]:.0f}",
            str(self.reached[1]), f"{one.value:.0f} ({one.low:.0f} to {one.high:.0f})",
            f"{one.measured:.0f}", f"{one.measured - one.value:+.0f}", str(self.again[1]),
            "" if one.within else "pages")) + " |"


def _time(one: Compared) -> tuple[str, str, str]:
    return (f"{seconds(one.value)} ({seconds(one.low)} to {seconds(one.high)})",
            seconds(one.measured), f"{one.measured / one.value - 1:+.0%}")


Recorded = Mapping[str, Sequence[Demand]]  # by load


def recorded(out: Path) -> Recorded:
    """What figures are made of."""
    files = {load.name: [str(file) for file in sorted(out.glob(f"{load.name}-*.cmarec"))]
             for load in (*FIGURES, *LOADS)}
    return {name: gathered(some)[0] for name, some in files.items() if some}


def rows(out: Path) -> Iterator[Row]:
    """Of all loads that were recorded. A load's own hits have no part in its foretelling."""
    known = recorded(out)
    for load in LOADS:
        files = sorted(out.glob(f"{load.name}-*.cmarec"))
        before = [str(file) for file in files if _batch(file) == 0]
        after = [file for file in files if _batch(file)]
        if before and after:
            others = figures.pack([some for name, some in known.items() if name != load.name], "")
            yield from _rows(load, before, after, others)


def _run(file: Path) -> tuple[str, int]:
    """Policy and batch."""
    found = re.fullmatch(r".*-\d+-(\d+)-(first-fit|deferred-first)", file.stem)
    assert found, file
    return found[2], int(found[1])


def _batch(file: Path) -> int:
    return _run(file)[1]


def _rows(load: Load, before: Sequence[str], after: Sequence[Path],
          others: Mapping[str, Any]) -> Iterator[Row]:
    demands, _ = gathered(list(before))
    drawn = figures.Figures(demands, others)
    recorded_asks = _reached(demands) / len(demands)
    wanted = [Task(_POLICIES[policy], batch) for policy, batch in map(_run, after)]
    foretold = outcomes(wanted, demands, drawn, lambda _: None)
    for file, task, one in zip(after, wanted, foretold, strict=True):
        seen, _ = gathered([str(file)])
        times = measured(seen)
        assert times is not None
        again, = outcomes([task], seen, drawn, lambda _: None)
        yield Row(load.name, *_run(file), (recorded_asks, _reached(seen)),
                  Compared(*one["hit_ratio"].values(), _hits(seen)),
                  *(Compared(*one["latency"][name].values(), times[name])
                    for name in ("p50_s", "p99_s")),
                  Compared(*one["reclaim"]["scanned_pages_each"].values(), _scanned(file)),
                  (again["hit_ratio"]["value"], again["reclaim"]["scanned_pages"]))


def _reached(demands: Sequence[Demand]) -> int:
    return sum(demand.events.kinds.count(REACH) for demand in demands)


def _scanned(file: Path) -> int:
    """Pages that the shrinker said that it gave back."""
    source = RecordingSource(str(file))
    try:
        return sum(record.ret for step in source.steps() if isinstance(step, Batch)
                   for record in decode(step.data)
                   if record.kind == Kind.SCAN and record.ret != SHRINK_STOP)
    finally:
        source.close()


def _hits(demands: Sequence[Demand]) -> float:
    paths = b"".join(bytes(demand.asks.paths) for demand in demands)
    hits, contig = paths.count(Way.HIT), paths.count(Way.CONTIG)
    return hits / (hits + contig)


def summary(found: Sequence[Row]) -> str:
    """How many lie within their intervals."""
    told = []
    for name in _NAMES:
        within = sum(getattr(row, name).within for row in found)
        told.append(f"{name} {within} of {len(found)}")
    scans = [row.scanned.within for row in found if row.scans]
    told.append(f"pages given back by the shrinker {sum(scans)} of {len(scans)}")
    off = [abs(row.again[0] - row.hits.measured) for row in found]
    told.append(f"hits of the replay of the run itself the same in {sum(one < 5e-4 for one in off)}"
                f" of {len(found)}, at most {max(off):.1%} off")
    came = sorted({row.load for row in found if any(row.reached)})
    return ("Measured within the stated interval: " + ", ".join(told) + ". Reclaim asked the "
            f"shrinker in: {', '.join(came) or 'none of them'}.")


def main() -> None:
    """Print, and write where asked."""
    if sys.argv[1] == "--figures":
        _figures(*map(Path, sys.argv[2:]))
        return
    found = list(rows(Path(sys.argv[1])))
    if not found:
        sys.exit(f"no recordings in {sys.argv[1]}")
    text = "\n".join((summary(found), "", _HEAD, *map(str, found), "", _SCANS,
                      *filter(None, (row.scans for row in found))))
    print(text)
    for path in map(Path, sys.argv[2:]):
        head, mark, rest = path.read_text().partition("<!-- table -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        path.write_text(f"{head}{mark}{text}\n{end}{tail}")


def _figures(out: Path, path: Path) -> None:
    source = RecordingSource(str(next(out.glob("*.cmarec"))))
    source.close()
    made = figures.pack(list(recorded(out).values()), _where(source.identity))
    path.write_text(json.dumps(made) + "\n")


def _where(identity: Mapping[str, str]) -> str:
    return (f"an emulated {identity['machine']} machine with kernel {identity['release']} "
            f"(the device of this project)")


if __name__ == "__main__":
    main()
