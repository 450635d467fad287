# SPDX-License-Identifier: GPL-2.0
"""What the page is drawn from: view.json, the map's cells, and a divergence told."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from importlib import resources
from pathlib import Path
from typing import Any

import golden
import pytest
from golden import recordings, samples, screens
from hypothesis import given
from hypothesis import strategies as st

from cmaobs import metrics
from cmaobs.metrics.table import BY_NAME
from cmaobs.page import Page, data
from cmaobs.page.cells import ALLOCATED, BOTH, CELLS, DEFERRED, FREE, MIXED, OUTSIDE, RUNS, cells
from cmaobs.report import story
from cmaobs.state import AreaFacts, AreaState, Run
from cmaobs.top.frame import of_text, of_view
from cmaobs.verdict import Verdict
from cmaobs.view import View
from cmaobs.who import Holders

ROOT = Path(__file__).parents[2]


def asked(view: View, path: str = "/view.json") -> Any:
    """What the page is told of the view, through JSON."""
    answer = Page(lambda: view, lambda: "ok").answer(path)
    assert answer is not None
    return json.loads(answer[1])


@pytest.mark.parametrize(("name", "view"), [
    ("patched", samples.view()), ("plain", samples.plain_view()), ("nothing", View({}, ()))])
def test_view_json(name: str, view: View) -> None:
    text = json.dumps({**asked(view), "edges_s": "..."}, indent=1)
    golden.compare(f"view-{name}.json", re.sub(r"\[\s+([^][{}]*?)\s+\]", _joined, text) + "\n")


def _joined(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", match[1]) + "]"


@pytest.mark.parametrize("view", [samples.view(), samples.plain_view(), screens.view(20)])
def test_its_numbers_are_those_of_metrics(view: View) -> None:
    """Every one of them, and no other."""
    found = asked(view)
    served = of_text(metrics.exposition(view).decode())
    compared = 0
    for name, rows in found["samples"].items():
        assert found["labels"][name] == list(BY_NAME[name].labels)
        for labels, value in rows:
            if isinstance(value, dict):
                buckets = served.buckets(name, *labels)
                assert buckets is not None
                assert buckets.count == sum(hits for _, hits in value["slots"])
                assert buckets.sum_s == value["sum_s"]
            else:
                assert served.number(name, *labels) == value
            compared += 1
    assert compared == len(served.samples) > 20


def test_slots_and_edges_are_those_of_the_frames_of_top() -> None:
    found, frame = asked(samples.view()), of_view(samples.view())
    buckets = frame.buckets("cma_alloc_duration_seconds", "reserved", "defer_hit")
    assert buckets is not None
    (_, value), = (row for row in found["samples"]["cma_alloc_duration_seconds"]
                        if row[0] == ["reserved", "defer_hit"])
    assert found["edges_s"] == list(buckets.edges[:-1])
    assert dict(value["slots"]) == {at: hits for at, hits in enumerate(buckets.counts) if hits}


def test_what_a_kernel_does_not_have_is_absent() -> None:
    found = asked(samples.plain_view())
    assert not found["patched"]
    assert not [name for name in found["samples"] if "defer" in name]
    assert found["areas"][0]["map"]["runs"] == [[ALLOCATED, 4], [FREE, 16380]]
    camera = asked(samples.view())["areas"][1]
    assert camera["map"] is None
    assert camera["fault"] == "list changed while it was walked"


def test_it_is_bounded_whatever_the_kernel_holds() -> None:
    """A million pages, every other one allocated, and more of everything than anybody reads."""
    big = AreaFacts(0, "reserved", 0x100000, 1 << 20, 0)
    held = tuple((big.base_pfn + 2 * at, 1) for at in range(1 << 19))
    state = samples.state(big, 5, held, ((big.base_pfn + 1, 1),))
    sample = samples.view().verdict
    assert sample is not None
    verdict = dataclasses.replace(sample, reasons=tuple(f"reason {at}" for at in range(999)),
                                  divergences=sample.divergences * 999)
    view = View(samples.IDENTITY, (big,), samples.reading(5, (samples.counts(big), state)), verdict,
                warnings=("w",) * 999)
    found = asked(view)
    area = found["areas"][0]
    assert len(area["map"]["runs"]) <= RUNS
    assert len(found["verdict"]["reasons"]) == len(found["warnings"]) == data.LINES
    assert found["verdict"]["reasons_more"] == 999 - data.LINES
    assert len(json.dumps(found)) < 64 << 10


def test_holders_beyond_the_first_are_summed() -> None:
    held = samples.holders()
    piece = held.pieces[0][1]
    pieces = tuple(piece._replace(pfn=0x40000 + 8 * at, pages=8, caller=piece.caller._replace(
        pid=at)) for at in range(100))
    view = dataclasses.replace(samples.view(), holders=Holders(held.at_ns, {0: pieces}, {0: True}))
    found = asked(view)["areas"][0]["holders"]
    assert len(found["rows"]) == data.HOLDERS
    assert sum(row["held_pages"] for row in found["rows"]) + found["rest"]["held_pages"] == 800
    assert found["rest"]["callers"] == 100 - data.HOLDERS


def test_the_areas_are_drawn_once_for_each_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[View] = []
    real = data.areas
    monkeypatch.setattr(data, "areas", lambda view: drawn.append(view) or real(view))
    views = [samples.view()]
    page = Page(lambda: views[-1], lambda: "ok")
    for _ in range(3):
        page.answer("/view.json")
        views.append(dataclasses.replace(views[-1], records=views[-1].records + 1))
    assert len(drawn) == 1
    views.append(screens.view(2))
    answer = page.answer("/view.json")
    assert answer is not None
    assert len(drawn) == 2
    assert json.loads(answer[1])["areas"][2]["name"] == "codec"


def _slow(state: AreaState, scale: int) -> list[list[int]]:
    """The cells page by page."""
    base, count = state.facts.base_pfn, state.facts.count
    pages = [FREE] * count
    depth = [0] * count
    for kind, runs in ((ALLOCATED, state.allocated), (DEFERRED, state.extents or ())):
        for pfn, length in runs:
            for at in range(pfn - base, pfn - base + length):
                depth[at] += 1
                pages[at] = kind if depth[at] == 1 else BOTH
    found: list[list[int]] = []
    for first in range(0, count, scale):
        states = set(pages[first:first + scale])
        one = states.pop() if len(states) == 1 else MIXED
        if found and found[-1][0] == one:
            found[-1][1] += 1
        else:
            found.append([one, 1])
    return found


@given(st.integers(1, 70), st.integers(0, 2 ** 32), st.integers(1, 12), st.integers(1, 64))
def test_cells_are_those_of_the_pages(count: int, seed: int, runs: int, most: int) -> None:
    rng = random.Random(seed)
    facts = AreaFacts(0, "a", 0x1000, count, 0)
    held: list[Run] = []
    at = 0
    while at < count:
        at += rng.randrange(4)
        length = min(rng.randrange(1, 5), count - at)
        if length > 0:
            held.append((0x1000 + at, length))
        at += length + 1
    extents = []
    for _ in range(rng.randrange(4)):
        first = rng.randrange(count)
        extents.append((0x1000 + first, rng.randrange(1, count - first + 1)))
    state = samples.state(facts, 1, tuple(held), tuple(extents))
    found = cells(state, runs, most)
    assert len(found["runs"]) <= runs
    assert sum(length for _, length in found["runs"]) <= most
    assert found["runs"] == _slow(state, found["pages_per_cell"])


def test_an_area_that_fits_is_exact() -> None:
    found = cells(samples.state(allocated=((0x40000, 1), (0x40002, 1)), extents=((0x40001, 1),)))
    assert found["pages_per_cell"] == 1
    assert found["runs"] == [[ALLOCATED, 1], [DEFERRED, 1], [ALLOCATED, 1], [FREE, 16381]]
    large = cells(samples.state(AreaFacts(0, "a", 0, 1 << 18, 0)))
    assert large == {"pages_per_cell": (1 << 18) // CELLS, "span": 1 << 18,
                     "runs": [[FREE, CELLS]]}


def test_what_lies_between_ranges_is_not_of_the_area() -> None:
    facts = AreaFacts(0, "a", 0x100, 24, 0, ((0x100, 16), (0x200, 8)))
    found = cells(samples.state(facts, 1, ((0x104, 4),), ((0x200, 2),)))
    assert found["span"] == 0x108
    assert found["runs"] == [[FREE, 4], [ALLOCATED, 4], [FREE, 8], [OUTSIDE, 0xf0], [DEFERRED, 2],
                             [FREE, 6]]
    assert cells(samples.state(facts), 3, 17)["runs"] == [[FREE, 1], [OUTSIDE, 15], [FREE, 1]]


def diverged(tmp_path: Path) -> Verdict:
    """The verdict on two callers that own the same pages."""
    verdict = recordings.unlawful(tmp_path).verdict
    assert verdict is not None
    return verdict


def test_a_divergence_is_told_as_explain_tells_it(tmp_path: Path) -> None:
    view = dataclasses.replace(samples.view(), verdict=diverged(tmp_path))
    found = asked(view, "/divergence/0.json")
    assert found["told"][0] == "R12 was broken in area reserved at pfn 0x40000+16."
    assert f"The rule: {story.RULES['R12']}" in found["told"]
    before, after = found["pages"]
    assert (before["title"], after["title"]) == ("Before", "After, as recorded")
    assert sum(before["rows"][0]["concerned"]) == 16
    assert len(found["operations"]) == len(found["time_line"]["bars"]) == 5
    text = Page(lambda: view, lambda: "ok").answer("/divergence/0.txt")
    assert text is not None
    assert text[1].decode().startswith(found["told"][0])


def test_the_files_of_the_page_ask_nobody_else() -> None:
    directory = resources.files("cmaobs.page").joinpath("static")
    names = {file.name for file in directory.iterdir()}
    assert {"index.html", "style.css", "app.js"} < names
    for file in directory.iterdir():
        text = file.read_text()
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(",
                             text), file.name
        for other in re.findall(r'from "\./([\w.]+)"|(?:src|href)="([\w.]+\.\w+)"', text):
            assert (other[0] or other[1]) in names | {"summary.txt", "view.json"}


def test_the_files_are_in_the_package() -> None:
    patterns = re.search(r"^cmaobs = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.M)
    assert patterns is not None
    assert "page/static/*" in json.loads(patterns[1])


def test_its_format_is_documented() -> None:
    text = (ROOT / "docs" / "page.md").read_text()
    found = asked(samples.view())
    for key in (*found, *found["areas"][0], *found["verdict"], *found["areas"][0]["holders"]):
        assert f"`{key}`" in text, key
    assert f"Format {data.FORMAT}." in text
