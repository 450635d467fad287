# SPDX-License-Identifier: GPL-2.0
"""Policies by name and by file, what each does differently, and reclaim's calls."""

from __future__ import annotations

from pathlib import Path as File

import pytest
from golden.samples import AREA

from cmaobs.errors import UsageError
from cmaobs.events import Path
from cmaobs.steps import PLAIN, Policy
from cmaobs.whatif.demand import ASK, GIVE, REACH, SCAN, Demand, Event
from cmaobs.whatif.replay import Replay
from cmaobs.whatif.result import Result
from cmaobs.whatif.rules import named
from cmaobs.whatif.shrink import scans

BASE = AREA.base_pfn


def demand(*events: tuple[int, int, int]) -> Demand:
    """Events as (kind, ask, pages), a microsecond apart; a GIVE is of all of an ask."""
    made = Demand(AREA, "test", True, start_ns=0, end_ns=1000 * (len(events) + 1))
    for i, (kind, ask, pages) in enumerate(events):
        if kind == ASK:
            made.asks.add(pages, Path.CONTIG, 1000, 0)
        made.events.add(Event(1000 * (i + 1), kind, ask, 0 if kind == GIVE else pages,
                              pages if kind == GIVE else 0), 1)
    return made


def played(name: str, *events: tuple[int, int, int], batch: int = 4) -> Result:
    return Replay(demand(*events), named(name), batch).run()


def extents(result: Result) -> list[tuple[int, int]]:
    assert result.state is not None
    return [(e.pfn - BASE, e.pages) for e in result.state.extents]


TWO = ((ASK, 0, 8), (ASK, 1, 8), (GIVE, 0, 8), (GIVE, 1, 8))  # extents at 8 and at 0


@pytest.mark.parametrize(("name", "policy"), [
    ("rfc", Policy()), ("plain", PLAIN), ("keep-64", Policy(keep=64)),
    ("prefer-deferred+flush-overlap+keep-9",
     Policy(prefer_deferred=True, flush_overlap=True, keep=9))])
def test_names(name: str, policy: Policy) -> None:
    assert named(name).policy == policy
    assert named(name).name == name


@pytest.mark.parametrize("name", ["", "rfc+merge", "keep-", "keep--1", "plain+keep-4", "RFC"])
def test_other_names_are_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="no policy") as caught:
        named(name)
    assert "prefer-deferred" in caught.value.remedy


def test_the_rfc_flushes_all_on_a_miss() -> None:
    result = played("rfc", *TWO, (ASK, 2, 12))
    assert (result.paths[2], result.flushed[2], result.extents[2]) == (Path.CONTIG, 16, 2)
    assert extents(result) == []


def test_flush_overlap_keeps_what_is_elsewhere() -> None:
    result = played("flush-overlap", *TWO, (ASK, 2, 4), (ASK, 3, 5))
    assert bytes(result.paths[2:]) == bytes([Path.HIT, Path.CONTIG])
    assert result.flushed[3] == 12  # both: the run reaches from one into the other
    result = played("flush-overlap", *TWO, (ASK, 2, 4), (ASK, 3, 40))
    assert result.flushed[3] == 12
    far = ((ASK, 0, 8), (ASK, 1, 8), (ASK, 2, 8), (GIVE, 0, 8), (GIVE, 2, 8), (ASK, 3, 9))
    assert extents(played("flush-overlap", *far)) == [(0, 8)]
    assert extents(played("rfc", *far)) == []


def test_prefer_deferred_passes_by_lower_pages() -> None:
    fragmented = ((ASK, 0, 8), (ASK, 1, 8), (ASK, 2, 8), (GIVE, 0, 8), (SCAN, 0, 8), (GIVE, 2, 8),
                  (ASK, 3, 8))
    assert played("rfc", *fragmented).paths[3] == Path.CONTIG
    result = played("prefer-deferred", *fragmented)
    assert (result.paths[3], result.pfns[3] - BASE) == (Path.HIT, 16)


def test_keep_frees_what_would_be_too_many() -> None:
    result = played("keep-8", *TWO)
    assert extents(result) == [(0, 8)]
    assert (result.deferred, result.direct, result.withheld.peak) == (1, 1, 8)


def test_scans_take_the_newest_or_the_oldest_and_split_its_front() -> None:
    assert extents(played("rfc", *TWO, (SCAN, 0, 10))) == [(2, 6)]
    assert extents(played("oldest-first", *TWO, (SCAN, 0, 10))) == [(10, 6)]


def test_a_scan_below_batch_stops() -> None:
    result = played("rfc", *TWO, (SCAN, 0, 3))
    assert (result.scans, result.stopped, len(extents(result))) == (0, 1, 2)


@pytest.mark.parametrize(("freeable", "batch", "asked"), [
    (0, 64, []), (64, 64, []), (127, 64, []), (128, 64, [64]), (512, 64, [64] * 4),
    (300, 64, [64, 64]), (1000, 0, [128] * 3), (1, 1, [])])
def test_reclaim_scans_half_of_what_it_counts_in_steps_of_batch(
        freeable: int, batch: int, asked: list[int]) -> None:
    assert list(scans(freeable, batch)) == asked


def test_reclaim_that_comes_by_takes_half() -> None:
    result = played("rfc", *TWO, (REACH, 0, 0), batch=4)
    assert (result.scans, result.scanned_pages) == (2, 8)
    assert extents(result) == [(8, 8)] or extents(result) == [(0, 8)]


def user(tmp_path: File, body: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text("from cmaobs.whatif.rules import Rules\n"
                    "class Mine(Rules):\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    return f"{path}:Mine"


def test_a_users_class_chooses(tmp_path: File) -> None:
    """The highest place instead of the lowest; the model holds it to the rest."""
    name = user(tmp_path, "def place(self, state, pages, align, start):\n"
                          "    free = state.facts.count - state.reserved.bit_length()\n"
                          "    return state.reserved.bit_length() if pages <= free else None")
    result = played(name, (ASK, 0, 8), (ASK, 1, 8), (GIVE, 0, 8), (ASK, 2, 8))
    assert [pfn - BASE for pfn in result.pfns] == [0, 8, 16]
    assert named(name).policy.own == {"R4"}


@pytest.mark.parametrize(("body", "said"), [
    ("def place(self, state, pages, align, start): return 0", "R4"),
    ("def flush(self, state, pfn, pages): return ()", "R12"),
    ("def flush(self, state, pfn, pages): return [(pfn, 400)]", "R12"),
    ("def place(self, state, pages, align, start): return 1 / 0", "line 3: ZeroDivisionError"),
    ("def place(self, state, pages, align, start): return 'x'", "place returned 'x'"),
    ("def reclaim(self, state, asked): return ((1, 1),)", "reclaim returned ((1, 1),)"),
    ("def reclaim(self, state, asked): return 5", "reclaim returned 5"),
    ("def reclaim(self, state, asked): return ((state.facts.base_pfn + 99, 1),)", "R12"),
])
def test_what_a_users_class_may_not_do_is_one_line(tmp_path: File, body: str, said: str) -> None:
    name = user(tmp_path, body)
    with pytest.raises(UsageError) as caught:
        played(name, *TWO, (ASK, 2, 12), (GIVE, 2, 12), (SCAN, 0, 64))
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("text", "said"), [
    ("class Mine: pass", "no class Mine that is a"), ("class Other: pass", "no class Mine"),
    ("def (", "SyntaxError"), ("import nowhere_to_be_found", "line 1: ModuleNotFoundError")])
def test_a_file_that_has_no_policy(tmp_path: File, text: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text + "\n")
    with pytest.raises(UsageError, match=said):
        named(f"{path}:Mine")
    with pytest.raises(UsageError, match="no file"):
        named(f"{tmp_path}/none.py:Mine")


