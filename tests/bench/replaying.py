# SPDX-License-Identifier: GPL-2.0
"""Operations replayed per second of one processor, by policy: make bench-whatif.

The demand is made from a seed: sizes of 1 to 256 pages, up to 120 held, in an area of 16384 pages.
The lane replays all of it, the model (as for a user's class) a part.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from random import Random

from cmaobs.events import Path
from cmaobs.state import AreaFacts
from cmaobs.whatif import fast
from cmaobs.whatif.demand import ASK, GIVE, SCAN, Demand, Event
from cmaobs.whatif.figures import Figures, shipped
from cmaobs.whatif.latency import stretches
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import named

AREA = AreaFacts(0, "bench", 0x40000, 16384, 0)
POLICIES = ("plain", "rfc", "oldest-first", "keep-1024", "prefer-deferred", "flush-overlap",
            "prefer-deferred+flush-overlap")
PART = 50  # of the operations that the model replays


def made(operations: int, seed: int = 1) -> Demand:
    """So many allocations and releases, and a scan now and then."""
    random = Random(seed)
    demand = Demand(AREA, "bench", True, end_ns=operations * 1000, threads=1)
    held: list[tuple[int, int]] = []
    add, choose = demand.events.add, random.choice
    for number in range(operations):
        if number % 997 == 0:
            add(Event(number * 1000, SCAN, 0, choose((64, 256)), 0), 1)
        if held and (len(held) > 120 or random.random() < 0.49):
            at = random.randrange(len(held))
            held[at], held[-1] = held[-1], held[at]
            ask, pages = held.pop()
            add(Event(number * 1000, GIVE, ask, 0, pages), 1)
        else:
            pages = choose((1, 4, 4, 16, 16, 64, 256))
            ask = demand.asks.add(pages, Path.CONTIG, 300_000 + number % 7, 0)
            add(Event(number * 1000, ASK, ask, pages, min(pages.bit_length() - 1, 8)), 1)
            held.append((ask, pages))
    return demand


def timed(what: Callable[[], Result], events: int) -> tuple[Result, float]:
    """The result, and events a second of processor time."""
    began = time.process_time()
    result = what()
    return result, events / (time.process_time() - began)


def main() -> None:
    """Print a table."""
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    demand, part = made(operations), made(operations // PART)
    print(f"{len(demand.events):,} operations; the model: {len(part.events):,}")
    print("| policy | hits | lane, a second | model, a second | 10 million by the lane |\n"
          "|---|---:|---:|---:|---:|")
    for name in POLICIES:
        rules = named(name)
        result, quick = timed(lambda rules=rules: fast.run(demand, rules, 64, 0),
                              len(demand.events))
        _, slow = timed(lambda rules=rules: Replay(part, rules, 64).run(), len(part.events))
        share = result.paths.count(Path.HIT) / len(result.paths)
        print(f"| {name} | {share:.0%} | {quick:,.0f} | {slow:,.0f} | {1e7 / quick:.1f} s |",
              flush=True)
    figures = Figures([demand], shipped())
    began = time.process_time()
    stretches(demand, result, figures)
    print(f"latencies of the last: {len(demand.asks) / (time.process_time() - began):,.0f} "
          "allocations a second")


if __name__ == "__main__":
    main()
