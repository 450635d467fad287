# SPDX-License-Identifier: GPL-2.0
"""What a scrape takes, by the number of areas: series, bytes, and processor time of the exporter.

    make bench-scrape

No kernel: the real server in a process of its own answers with a view made of the shipped
recording, its area given so many times, each with as many callers as there can be series of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources

from prometheus_client.parser import text_string_to_metric_families

from cmaobs.commands import running
from cmaobs.config import Address
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.server import Health, Server
from cmaobs.state import AreaFacts, Reading
from cmaobs.view import View
from cmaobs.who import Caller, Holders
from cmaobs.who.book import Piece
from cmaobs.who.ledger import Counts, Ledger

AREAS = (1, 16, 64)  # 64: MAX_AREAS of cmaobs.kernel.plan
HOLDERS = 21  # of an area: one more than have series of their own
SCRAPES = 21
FORMATS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text"}


def shipped() -> View:
    """The last view of the recording that comes with the package."""
    with resources.as_file(resources.files("cmaobs") / "data" / "demo.cmarec") as path:
        source = RecordingSource(str(path))
        observer = Observer(source, running.checker(source))
        for _ in observer.steps():
            pass
        source.close()
    return observer.view


def many(one: View, number: int) -> View:
    """The view with its busiest area so many times."""
    assert one.reading is not None
    assert one.verdict is not None
    busiest = max(one.reading.counts, key=lambda area: sum(area.counters.values()))
    name = busiest.facts.name
    facts = [replace(busiest.facts, index=index, name=f"area{index}") for index in range(number)]
    state = next(state for state in one.reading.states if state.facts.name == name)
    covered = next(area for area in one.verdict.coverage if area.area == name)
    reading: Reading = replace(
        one.reading, counts=tuple(replace(busiest, facts=area) for area in facts),
        states=tuple(replace(state, facts=area) for area in facts))
    return replace(
        one, areas=tuple(facts), reading=reading, holders=holders(facts, reading.time_ns),
        verdict=replace(one.verdict, coverage=tuple(replace(covered, area=area.name)
                                                    for area in facts)),
        causes={area.index: one.causes.get(busiest.facts.index, {}) for area in facts})


def holders(facts: list[AreaFacts], now_ns: int) -> Holders:
    """In each area more that hold pages than have series, and have asked."""
    ledger = Ledger()
    pieces = {}
    for area in facts:
        callers = [Caller("process", f"caller{number}", number, "dma-buf heap", 0)
                   for number in range(HOLDERS)]
        pieces[area.index] = tuple(Piece(area.base_pfn + number, 1, now_ns - 10 ** 9, caller)
                                   for number, caller in enumerate(callers))
        for caller in callers:
            ledger.add(area.index, caller, Counts(1, 1, {}))
    return Holders(now_ns, pieces, series=ledger.series)


def serve(number: int) -> None:
    """Answer until standard input ends; a view of its own for each answer, as when observing."""
    view = many(shipped(), number)
    with Server(Address("127.0.0.1", 0), lambda: replace(view), Health(3600)) as server:
        print(server.address.port, flush=True)
        sys.stdin.read()


def scrapes(number: int) -> Iterator[str]:
    """A row for each format."""
    with subprocess.Popen([sys.executable, "-m", "bench.scraping", str(number)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as task:
        assert task.stdin is not None
        assert task.stdout is not None
        url = f"http://127.0.0.1:{int(task.stdout.readline())}/metrics"
        for name, accept in FORMATS.items():
            request = urllib.request.Request(url, headers={"Accept": accept})
            took, size = [], 0
            for _ in range(SCRAPES):
                clock = _clock(task.pid)
                with urllib.request.urlopen(request, timeout=60) as response:
                    text = response.read().decode()
                took.append((_clock(task.pid) - clock) / 1e6)
                size = len(text)
            series = (sum(len(family.samples) for family in text_string_to_metric_families(text))
                      if name == "text" else text.count("\n") - text.count("\n#") - 1)
            low, median, high = statistics.quantiles(took, n=4)
            yield (f"| {number} | {name} | {series:,} | {size:,} | {median:.1f} ms "
                   f"({low:.1f} to {high:.1f}) |")
        task.stdin.close()


def _clock(pid: int) -> int:
    """ns of another process's processor time: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def main() -> None:
    """Print the table."""
    print("| areas | format | series | bytes | processor time, median (middle half) |\n"
          "|---:|---|---:|---:|---:|")
    for number in AREAS:
        for row in scrapes(number):
            print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(int(sys.argv[1]))
    else:
        main()
