# SPDX-License-Identifier: GPL-2.0
"""explain: sentences, drawings of 80 columns, and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import golden
import pytest
from golden import histories, recordings
from golden.cli import run
from reference.mistakes import DEFECTS
from reference.stream import Stream

from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch
from cmaobs.state import Reading

STACK = ("cma_alloc+0x0", "cma_alloc_write+0x32", "simple_attr_write_xsigned+0xd4",
         "full_proxy_write+0x5c", "vfs_write+0xb2", "ksys_write+0x6f", "do_syscall_64+0x55")


def unlawful(path: Path) -> Path:
    """Two callers own the same pages; the second one's stack is known."""
    steps = [histories.with_stack(step, 5) if isinstance(step, Batch) and step.data else step
             for step in histories.unlawful()]
    last = max(i for i, step in enumerate(steps) if isinstance(step, Reading))
    steps[last] = histories.with_stacks(steps[last], {5: STACK})
    recordings.write(path, steps)
    return path


def test_as_text(tmp_path: Path) -> None:
    done = run("explain", unlawful(tmp_path / "a"))
    assert (done.returncode, done.stderr) == (1, "")
    golden.compare("explain.txt", done.stdout)


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_line_fits_80_columns(tmp_path: Path, defect: str) -> None:
    drawn = 0
    for seed in range(100):
        stream = Stream(seed, 2, 40, defects=frozenset({defect}))
        if defect not in stream.kernel.fired:
            continue
        with RecordingWriter(str(tmp_path / "a"), stream.identity, stream.areas) as writer:
            for step in stream.made:
                writer.add(step)
        done = run("explain", tmp_path / "a", "--html", tmp_path / "a.html")
        assert done.stderr == ""
        told = done.stdout.split("\nverdict: ")[0].split("\nlater: ")[0].split("\nand ")[0]
        assert max(map(len, told.splitlines()), default=0) <= 80, told
        drawn += done.returncode == 1
        if done.returncode == 1:
            check_page((tmp_path / "a.html").read_text())
            break
    assert drawn or defect in ("scan-oldest-first", "scan-splits-middle", "batch-0-keeps")


def test_without_a_divergence_it_says_so(tmp_path: Path) -> None:
    recordings.write(tmp_path / "a", histories.lawful())
    done = run("explain", tmp_path / "a")
    assert done.returncode == 0
    assert done.stdout == ("verdict: agree\nThere is no divergence in this file; "
                           "`cmaobs replay` prints all that it has.\n")


def test_as_json(tmp_path: Path) -> None:
    one, = json.loads(run("explain", unlawful(tmp_path / "a"), "--json").stdout)["divergences"]
    assert one["before"]["window"] == [0x40000, 32]
    assert one["before"]["allocated"] == [[0x40000, 16]]
    assert one["before"]["totals"] == {"allocated": 16, "deferred": 0, "free": 16368,
                                       "unknown": 0}
    assert one["operations"][-1]["stack"] == list(STACK)
    assert one["operations"][-1]["pid"] == 1000


class Page(HTMLParser):
    """What a page would ask of the network, and whether its tags are paired."""

    def __init__(self) -> None:
        super().__init__()
        self.asks: list[str] = []
        self.open: list[str] = []
        self.drawn = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asks += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "action")]
        self.drawn += tag == "svg"
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> Page:
    """Whole, drawn, and asking for nothing."""
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.asks == []
    assert not re.search(r"url\(|@import|https?:|<script", text)
    assert "prefers-color-scheme: dark" in text
    return page


def test_as_a_page(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    done = run("explain", unlawful(tmp_path / "a"), "--html", file)
    assert done.returncode == 1
    text = file.read_text()
    assert check_page(text).drawn == 4
    assert "cma_alloc_write+0x32" in text
    assert run("explain", tmp_path / "a", "--html", file).returncode == 1  # its own is overwritten
    file.write_text("my thesis")
    done = run("explain", tmp_path / "a", "--html", file)
    assert (done.returncode, file.read_text()) == (2, "my thesis")
    assert "is not a page of explain" in done.stderr
