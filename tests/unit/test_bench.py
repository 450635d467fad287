# SPDX-License-Identifier: GPL-2.0
"""The tables that make bench puts into docs/performance.md, and what it counts other tools by."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import beside, scraping, table
from prometheus_client.parser import text_string_to_metric_families

from cmaobs import metrics
from cmaobs.view import View

FIGURES = {
    "release": "6.1.192", "machine": "x86_64", "tools": {"bpftrace": "v0.17.0"},
    "rows": {"nothing": {"hit 1": [4000.4, 4000, 4001], "contig 1": [400000, 399990, 400010]},
             "empty": {"hit 1": [4500, 4499, 4502], "contig 1": [399000, 398990, 399000]}},
    "served": {"as it is": {"start_ns": 1.5e9, "rest": 2.5e6, "busy": 12.5e6, "scrape_ns": 3e6,
                            "scrape_bytes": 42000, "resident_kb": 25100}}}
BPFTRACE = """@alloc_hit:
[2K, 4K)               3 |@@@@@                                               |
[4K, 8K)              57 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

@alloc_contig:
[512K, 1M)             6 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
"""
FUNCLATENCY = """Function = b'cma_alloc'
     nsecs               : count     distribution
         0 -> 1          : 0        |                                        |
      2048 -> 4095       : 63       |****************************************|

avg = 3001 nsecs, total: 189063 nsecs, count: 63
"""


def test_rows_are_what_is_added_to_the_first() -> None:
    lines = table.draw(FIGURES).splitlines()
    assert "Kernel 6.1.192 (x86_64)" in lines[0]
    assert "| nothing | 4,000 | 400,000 |" in lines
    assert "| empty | +500 | -1,000 |" in lines
    assert any("within 3 of each other" in line and "within 20" in line for line in lines)
    assert lines[-1] == ("| as it is | 1,500 M | 2.5 M | 12.5 M | 10,000 | 3.0 M, 42,000 bytes | "
                         "25.1 MB |")


def test_they_go_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for _ in range(2):
        table.put(file, "new")
        assert file.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    file.write_text("before\nafter\n")
    with pytest.raises(ValueError, match="no marks"):
        table.put(file, "new")
    assert file.read_text() == "before\nafter\n"


@pytest.mark.parametrize(("text", "count"), [(BPFTRACE, 66), (FUNCLATENCY, 63), ("", 0)])
def test_histograms_of_others_are_summed(text: str, count: int) -> None:
    assert beside._histograms(text) == count


def test_the_page_has_the_marks() -> None:
    text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert text.count(table.BEGIN) == text.count(table.END) == 1
    assert text.index(table.BEGIN) < text.index("| nothing |") < text.index(table.END)


@pytest.fixture(scope="module")
def shipped() -> View:
    return scraping.shipped()


@pytest.mark.parametrize("number", [1, 2, 64])
def test_series_are_as_many_as_deploying_says(shipped: View, number: int) -> None:
    view = scraping.many(shipped, number)
    text = metrics.exposition(view).decode()
    series = sum(len(family.samples) for family in text_string_to_metric_families(text))
    assert 300 * number < series <= 35 + (349 + 16) * number + 192
