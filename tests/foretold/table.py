# SPDX-License-Identifier: GPL-2.0
"""What was foretold from recordings with batch = 0, against what was measured with others.

    python tests/foretold/table.py DIRECTORY [FILE]     the table; FILE: between its marks, too
    python tests/foretold/table.py --figures DIRECTORY FILE    the figures of the package
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cmaobs.commands.whatif import gathered
from cmaobs.events import Path as Way
from cmaobs.recording import RecordingSource
from cmaobs.report.whatif_text import seconds
from cmaobs.whatif import figures
from cmaobs.whatif.demand import REACH, Demand
from cmaobs.whatif.latency import measured
from cmaobs.whatif.search import Task, outcomes
from foretold.loads import FIGURES, LOADS, Load

_HEAD = ("| load | batch | hits: foretold | measured | error | p50: foretold | measured | error "
         "| p99: foretold | measured | error | beyond |\n"
         "|---|---:|---|---:|---:|---|---:|---:|---|---:|---:|---|")


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
    """A load under one batch."""

    load: str
    batch: int
    reached: int  # times that reclaim asked the shrinker, in the recordings foretold from
    hits: Compared
    p50: Compared
    p99: Compared

    def __str__(self) -> str:
        beyond = [name for name in ("hits", "p50", "p99") if not getattr(self, name).within]
        hits = self.hits
        return " | ".join((
            f"| {self.load}", str(self.batch), f"{hits.value:.1%} ({hits.low:.1%} to "
            f"{hits.high:.1%})", f"{hits.measured:.1%}", f"{hits.measured - hits.value:+.1%}",
            *_time(self.p50), *_time(self.p99), ", ".join(beyond))) + " |"


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


def _batch(file: Path) -> int:
    return int(file.stem.rsplit("-", 1)[1])


def _rows(load: Load, before: Sequence[str], after: Sequence[Path],
          others: Mapping[str, Any]) -> Iterator[Row]:
    demands, _ = gathered(list(before))
    drawn = figures.Figures(demands, others)
    reached = sum(demand.events.kinds.count(REACH) for demand in demands)
    foretold = outcomes([Task("rfc", _batch(file)) for file in after], demands, drawn,
                        lambda _: None)
    for file, one in zip(after, foretold, strict=True):
        seen, _ = gathered([str(file)])
        times = measured(seen)
        assert times is not None
        yield Row(load.name, _batch(file), reached,
                  Compared(*one["hit_ratio"].values(), _hits(seen)),
                  *(Compared(*one["latency"][name].values(), times[name])
                    for name in ("p50_s", "p99_s")))


def _hits(demands: Sequence[Demand]) -> float:
    paths = b"".join(bytes(demand.asks.paths) for demand in demands)
    hits, contig = paths.count(Way.HIT), paths.count(Way.CONTIG)
    return hits / (hits + contig)


def summary(found: Sequence[Row]) -> str:
    """How many lie within their intervals."""
    told = []
    for name in ("hits", "p50", "p99"):
        within = sum(getattr(row, name).within for row in found)
        told.append(f"{name} {within} of {len(found)}")
    came = sorted({row.load for row in found if row.reached})
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
    text = "\n".join((summary(found), "", _HEAD, *map(str, found)))
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
