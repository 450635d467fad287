# SPDX-License-Identifier: GPL-2.0
"""What whatif says: latencies and their intervals, the report in its forms, the advice."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from golden import compare, demands
from golden.samples import AREA

from cmaobs.events import Path
from cmaobs.report import whatif as report
from cmaobs.report import whatif_html, whatif_text
from cmaobs.whatif import figures, latency, search
from cmaobs.whatif.demand import ASK, GIVE, REACH, Demand, Event
from cmaobs.whatif.outcome import outcome
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.rules import named

HITS = {str(size): [10_000 + 500 * i for i in range(40)] for size in (0, 4, 8)}
SHIPPED: dict[str, Any] = {
    "where": "a machine that there is not",
    "spread": {kind: {"run": 0.1, "load": 0.05} for kind in ("hit", "contig")},
    "hit": [HITS, {"0": [2 * ns for ns in HITS["0"]]}],
    "contig": [{"4": [300_000 + 10_000 * i for i in range(40)]}, {}],
    "free": [[pages, 2000 + 100 * pages] for pages in (1, 4, 16, 64) for _ in range(10)]}


def loop(rounds: int = 200, pages: int = 16, patched: bool = False) -> Demand:
    """A buffer that is allocated and released over and over, by the contig path."""
    made = Demand(AREA, "loop.cmarec", patched, start_ns=0, end_ns=rounds * 10 ** 6, threads=1)
    for number in range(rounds):
        at = number * 10 ** 6
        ask = made.asks.add(pages, Path.CONTIG, 400_000 + 1000 * (number % 50), AREA.base_pfn)
        made.events.add(Event(at, ASK, ask, pages, 0), 1)
        made.events.add(Event(at + 500_000, GIVE, ask, 0, pages), 1)
    made.operations, made.contig = 2 * rounds, rounds
    return made


def plain_and_rfc(demand: Demand, drawn: figures.Figures) -> list[dict[str, Any]]:
    return [outcome([demand], named(name), batch, drawn)
            for name, batch in (("plain", 0), ("rfc", 64))]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    found = [demands.demo()]
    drawn = figures.Figures(found, SHIPPED)
    wanted = search.tasks(("rfc", "prefer-deferred+flush-overlap"), (64, 256), found, False)
    made = search.outcomes(wanted, found, drawn, lambda _: None)
    made = report.report(found, made, drawn, {"gaps: something": 2}, None)
    return json.loads(json.dumps(made))


def test_failures_that_the_policy_makes_and_spares_are_told() -> None:
    """Half of the asks failed then and are granted; one of the others is larger than the area."""
    demand = loop(rounds=20)
    for ask in range(0, 20, 2):
        demand.asks.paths[ask], demand.asks.pfns[ask] = Path.FAILED, 0
    demand.asks.pages[1] = demand.events.a[2] = AREA.count + 1
    made = plain_and_rfc(demand, figures.Figures([demand], SHIPPED))[1]
    assert (made["failed"], made["would_fail"], made["would_succeed"]) == (1, 1, 10)
    assert whatif_text.cells(made)[6] == "1 (1 were granted, 10 others failed)"


def test_pages_that_reclaim_takes_have_an_interval() -> None:
    """Of one recording, however many there are; and it holds what the replays as recorded say."""
    demand = loop(rounds=100, patched=True)
    for number in range(40):
        demand.events.add(Event(demand.end_ns + number, REACH, 0, 0, 0), 1)
    for count, shown in ((1, r"(\d+) \((\d+)-(\d+)\)"), (3, r"(\d+) \(each (\d+)-(\d+)\)")):
        made = outcome([demand] * count, named("rfc"), 1, figures.Figures([demand], SHIPPED))
        each = made["reclaim"]["scanned_pages_each"]
        assert made["reclaim"]["scanned_pages"] == count * each["value"] > 0
        assert each["low"] <= each["value"] <= each["high"] > each["low"]
        assert re.fullmatch(shown, whatif_text.cells(made)[10])


def test_the_text(data: dict[str, Any]) -> None:
    compare("whatif.txt", whatif_text.draw(data))


def test_the_page_is_whole_and_asks_nothing_of_the_network(data: dict[str, Any]) -> None:
    page = whatif_html.page(data)
    compare("whatif.html", page)
    assert page.startswith(whatif_html.HEAD)
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    for one in data["outcomes"]:
        assert page.count(f"<td>{one['policy']}</td>") >= 1


def test_names_from_outside_are_text(data: dict[str, Any]) -> None:
    evil = json.loads(json.dumps(data))
    evil["demand"][0]["recording"] = "<b>\x1b[31m"
    evil["outcomes"][1]["policy"] = "<i>x.py:Y"
    page = whatif_html.page(evil)
    assert "<b>" not in page
    assert "<i>" not in page
    assert "\x1b" not in page + whatif_text.draw(evil)


def test_a_path_that_stays_the_same_keeps_its_durations() -> None:
    demand = loop()
    drawn = figures.Figures([demand], SHIPPED)
    found = outcome([demand], named("plain"), 0, drawn)
    was = latency.measured([demand])
    assert was is not None
    assert {name: one["value"] for name, one in found["latency"].items()} == was
    assert found["durations"] == {"own": 200, "recording": 0, "shipped": 0, "none": 0}
    assert found["latency"]["p50_s"]["value"] == pytest.approx(424_000e-9, rel=0.03)


def test_a_path_that_was_not_taken_is_drawn_from_figures_of_its_size() -> None:
    demand = loop()
    drawn = figures.Figures([demand], SHIPPED)
    found = outcome([demand], named("rfc"), 64, drawn)
    assert found["hits"] == 199
    assert found["durations"] == {"own": 1, "recording": 0, "shipped": 199, "none": 0}
    assert found["latency"]["p50_s"]["value"] == pytest.approx(20e-6, rel=0.05)
    assert found["latency"]["worst_s"]["value"] == pytest.approx(400e-6, rel=0.05)
    one = found["latency"]["p50_s"]
    assert one["low"] < one["value"] < one["high"]


def test_the_recordings_own_hits_are_preferred() -> None:
    demand = loop(patched=True)
    for ask in range(1, 60):
        demand.asks.paths[ask], demand.asks.durations[ask] = Path.HIT, 7000
    drawn = figures.Figures([demand], SHIPPED)
    assert drawn.samples((Path.HIT, 4, False)) == ([7000] * 59, True)
    found = outcome([demand], named("rfc"), 64, drawn)
    assert found["durations"] == {"own": 60, "recording": 140, "shipped": 0, "none": 0}


def test_what_a_flush_adds_is_in_the_duration() -> None:
    """Each allocation is larger than the extent before: all miss, and give it back first."""
    demand = loop(100)
    for event in range(0, len(demand.events), 2):
        pages = 16 + event // 2
        demand.events.a[event] = demand.events.b[event + 1] = pages
    drawn = figures.Figures([demand], SHIPPED)
    assert drawn.cost == pytest.approx((2000, 100), rel=0.01)
    result = Replay(demand, named("rfc"), 64).run()
    assert list(result.flushed[:4]) == [0, 16, 17, 18]
    found = outcome([demand], named("rfc"), 64, drawn)
    plain = outcome([demand], named("plain"), 0, drawn)
    more = found["latency"]["p50_s"]["value"] - plain["latency"]["p50_s"]["value"]
    assert more == pytest.approx(2e-6 + 66 * 100e-9, rel=1)
    assert found["reclaim"]["flushed_pages"] == sum(range(16, 115))


def test_a_gain_beyond_the_uncertainty_is_recommended_and_its_limits_are_told() -> None:
    demand = loop()
    drawn = figures.Figures([demand], SHIPPED)
    found = plain_and_rfc(demand, drawn)
    made = report.report([demand], found, drawn, {}, None)
    first, second = made["recommendation"]
    assert first.startswith("Defer, by rfc with batch 64")
    assert "99.5% of the allocations would be hits" in first
    assert "beyond the 95 % intervals" in second
    assert "cannot be known" in second
    assert any("upper bounds" in told for told in made["assumptions"])
    assert any("a machine that there is not" in told for told in made["assumptions"])


def test_nothing_to_gain_is_told() -> None:
    demand = loop(60)
    for event in range(0, len(demand.events), 2):
        demand.events.a[event] = demand.events.b[event + 1] = 16 + event // 2
    drawn = figures.Figures([demand], SHIPPED)
    found = plain_and_rfc(demand, drawn)
    first, second = report.recommendation(*found, [demand])
    assert first.startswith("Deferring by rfc with batch 64 makes no difference")
    assert "within" in second


@pytest.mark.parametrize(("objective", "policy"), [
    ("hit-ratio", "prefer-deferred"), ("withheld", "keep-16"), ("p99", "rfc"), (None, "rfc")])
def test_the_objective_chooses(objective: str | None, policy: str) -> None:
    def one(name: str, hits: float, p99: float, high: float, mean: float) -> dict[str, Any]:
        return {"policy": name, "batch": 64, "would_fail": 0, "would_succeed": 0,
                "hit_ratio": {"value": hits, "low": hits, "high": hits},
                "withheld_pages": {"mean": mean, "peak": 0},
                "latency": {"p99_s": {"value": p99, "low": p99 / 2, "high": high}}}
    found = [one("plain", 0, 9.0, 9.0, 0), one("rfc", 0.95, 1.1, 1.2, 50),
             one("prefer-deferred", 0.955, 1.0, 1.3, 60), one("keep-16", 0.95, 2.0, 2.1, 5)]
    assert search.best(found, objective)["policy"] == policy


def test_a_policy_under_which_more_fails_is_not_best() -> None:
    found = [{"policy": name, "batch": 64, "would_fail": fail, "would_succeed": 0, "latency": None,
              "hit_ratio": {"value": hits, "low": 0, "high": 0},
              "withheld_pages": {"mean": 0, "peak": 0}}
             for name, hits, fail in (("plain", 0, 0), ("rfc", 0.9, 3), ("keep-1", 0.2, 0))]
    assert search.best(found, "hit-ratio")["policy"] == "keep-1"


def test_size_classes_are_orders() -> None:
    assert [figures.size_class(pages) for pages in (1, 2, 3, 4, 5, 64, 65)] == [0, 1, 2, 2, 3, 6, 7]


def test_the_shipped_figures_say_where_they_are_from() -> None:
    found = figures.shipped()
    assert found["where"]
    assert set(found) == {"where", "spread", "hit", "contig", "free"}
    assert all(values == sorted(values) and min(values) > 0 for kind in ("hit", "contig")
               for sizes in found[kind] for values in sizes.values())


def test_after_idle_time_the_same_size_takes_as_much_longer_as_others_do() -> None:
    drawn = figures.Figures([loop()], SHIPPED)
    hot, _ = drawn.samples((Path.HIT, 4, False))
    idle, own = drawn.samples((Path.HIT, 4, True))
    assert idle == [2 * ns for ns in hot]
    assert not own
    assert drawn.samples((Path.HIT, 0, True))[0] == [2 * ns for ns in HITS["0"]]
    assert drawn.samples((Path.HIT, 9, False))[0] == HITS["8"]


def test_figures_of_several_loads_tell_how_far_runs_and_loads_stray() -> None:
    one, same, other = loop(), loop(), loop()
    for i in range(len(other.asks)):
        other.asks.durations[i] *= 2
    made = figures.pack([[one, same], [other, other]], "here", most=10)
    assert made["spread"]["contig"] == {"run": 0.0, "load": pytest.approx(0.49, abs=0.01)}
    assert made["spread"]["hit"] == {"run": 0.0, "load": 0.0}
    hot, idle = made["contig"]
    assert (len(hot["4"]), idle) == (20, {})
