# SPDX-License-Identifier: GPL-2.0
"""Where pages are: from /proc/kpageflags and a bitmap to runs, numbers and a map."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import pytest
from golden import samples
from hypothesis import given
from hypothesis import strategies as st

from cmaobs import metrics, report, where
from cmaobs.errors import KernelReadError
from cmaobs.kernel import page_flags
from cmaobs.recording import readings, values
from cmaobs.report.where import lines
from cmaobs.runs import runs, union
from cmaobs.sanity import state_fault
from cmaobs.state import AreaFacts, AreaState, Placed, Run
from cmaobs.view import View, clear_runs

AREA = AreaFacts(0, "reserved", 1000, 64, 0)
# Bits of include/uapi/linux/kernel-page-flags.h
LRU, BUDDY, ANON, MMAP, NOPAGE, IDLE, RESERVED = 5, 10, 12, 11, 20, 25, 32


def tree(tmp_path: Path, flags: list[tuple[int, ...]], first: int = AREA.base_pfn) -> Path:
    """A root with the flags of pages from first on."""
    (tmp_path / "proc").mkdir()
    with (tmp_path / "proc/kpageflags").open("wb") as file:
        file.seek(first * 8)
        file.write(struct.pack(f"={len(flags)}Q", *(sum(1 << b for b in one) for one in flags)))
    return tmp_path


def test_flags_tell_lent_from_free(tmp_path: Path) -> None:
    flags = [(BUDDY,)] * 8 + [(LRU, ANON, MMAP)] * 4 + [()] * 2 + [(IDLE, RESERVED)] + [(NOPAGE,)]
    root = tree(tmp_path, flags + [(LRU,)] * 2 + [(BUDDY, RESERVED)] * 46)
    assert page_flags.read(AREA.runs, root) == Placed(((1008, 4), (1016, 2)), ((1012, 4),))


def test_runs_go_on_from_one_read_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    monkeypatch.setattr(page_flags, "_AT_ONCE", 3)
    root = tree(tmp_path, [(LRU,)] * 10 + [(BUDDY,)] * 54)
    assert page_flags.read(AREA.runs, root).lent == ((1000, 10),)


def test_what_cannot_be_told_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in page_flags.read(AREA.runs, tmp_path).fault
    root = tree(tmp_path, [(BUDDY,)] * 63)
    assert page_flags.read(AREA.runs, root) == Placed(
        fault=f"{root}/proc/kpageflags ends before the area does")
    monkeypatch.setattr(page_flags, "_MOST", 32)
    assert "more than 32 pages" in page_flags.read(AREA.runs, root).fault


def test_a_pageblock_is_as_large_as_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    with pytest.raises(KernelReadError, match="pagetypeinfo: No such file"):
        page_flags.pageblock_pages(tmp_path)
    told = tmp_path / "proc/pagetypeinfo"
    told.write_text("Page block order: 9\nPages per block:  512\n\nFree pages count ...\n")
    assert page_flags.pageblock_pages(tmp_path) == 512
    told.write_text("Page block order: 9\n")
    with pytest.raises(KernelReadError, match="does not say"):
        page_flags.pageblock_pages(tmp_path)


def test_it_is_looked_up_no_more_often_than_asked_for(tmp_path: Path) -> None:
    root = str(tree(tmp_path, [(LRU,)] * 64))
    state = samples.state(AREA)
    looked = page_flags.Places(root, 3600.0)
    assert looked.looked_up([state])[0].placed == Placed(((1000, 64),))
    assert looked.looked_up([state])[0].placed is None
    assert page_flags.Places(root, None).looked_up([state])[0].placed is None
    broken = samples.state(AREA, fault="x")
    assert page_flags.Places(root, 1.0).looked_up([broken]) == (broken,)


def placed_state() -> AreaState:
    """Of 64 pages: 16 allocated, 8 deferred, 20 lent, 17 in the buddy, 3 elsewhere."""
    state = samples.state(AREA, allocated=((1000, 16),), extents=((1020, 4), (1016, 4)))
    return dataclasses.replace(state, placed=Placed(
        ((1010, 8), (1024, 10), (1054, 10)), ((1018, 2), (1034, 3))))


def test_every_page_is_in_one_place() -> None:
    assert where.places(placed_state()) == {
        "allocated": ((1000, 16),), "deferred": ((1016, 8),),
        "lent": ((1024, 10), (1054, 10)), "buddy": ((1037, 17),), "elsewhere": ((1034, 3),)}
    plain = dataclasses.replace(placed_state(), extents=None, placed=None)
    assert where.places(plain) == {"allocated": ((1000, 16),), "clear": ((1016, 48),)}


SETS = st.integers(0, (1 << 24) - 1)


@given(SETS, SETS, SETS, SETS, st.booleans())
def test_places_are_disjoint_and_together_the_area(
        held: int, listed: int, lent: int, other: int, several: bool) -> None:
    facts = AreaFacts(0, "x", 1000, 24, 0, ((1000, 9), (1009, 15)) if several else ())
    state = dataclasses.replace(
        samples.state(facts, allocated=runs(held, 1000), extents=runs(listed, 1000)),
        placed=Placed(runs(lent, 1000), runs(other & ~lent, 1000)))
    if several:  # no allocation crosses the end of a range
        state = dataclasses.replace(state, allocated=tuple(
            run for part in (0x1FF, 0xFFFE00) for run in runs(held & part, 1000)))
    sets = {place: union(found, 1000) for place, found in where.places(state).items()}
    assert sum(one.bit_count() for one in sets.values()) == 24
    assert union(clear_runs(state), 1000) == ~held & 0xFFFFFF
    clear = ~held & ~listed & 0xFFFFFF
    assert sets == {"allocated": held, "deferred": listed & ~held, "lent": lent & clear,
                    "elsewhere": other & ~lent & clear, "buddy": clear & ~lent & ~other}


def test_orders_and_fragmentation() -> None:
    clear: list[Run] = [(0, 1), (10, 3), (20, 4), (40, 7), (64, 64)]
    assert where.by_order(clear) == {0: 1, 1: 1, 2: 2, 6: 1}
    assert where.fragmentation(clear) == 1 - 64 / 79
    assert where.fragmentation([(5, 9)]) == 0
    assert where.fragmentation([]) is None


def snapshot(state: AreaState) -> View:
    return View(samples.IDENTITY, (state.facts,),
                samples.reading(5, (samples.counts(state.facts), state)))


def test_a_map_of_pages_and_its_numbers() -> None:
    data = report.snapshot(snapshot(placed_state()))["areas"][0]
    assert json.loads(json.dumps(data))["places"]["lent"] == [[1024, 10], [1054, 10]]
    assert (data["clear_runs_by_order"], data["fragmentation"]) == ({"5": 1}, 0)
    assert list(lines(data)) == [
        "  of the free  17 in the buddy, 20 lent to movable users, 3 elsewhere: on a CPU's list, "
        "or on their way",
        "  clear runs   1 of 32 to 63 pages; fragmentation 0%",
        "    0x000003e8  " + "#" * 16 + "=" * 8 + "o" * 10 + "???" + "." * 17 + "o" * 10,
        "    1 page a character: # allocated  = deferred  o lent  . free in the buddy  ? elsewhere"]


def test_a_map_at_a_grain_says_what_is_partly_so() -> None:
    data = report.snapshot(snapshot(placed_state()))["areas"][0]
    assert list(lines(data, 32))[2:] == [
        "    0x000003e8  *.",
        "    32 pages a character: * partly allocated  . free in the buddy"]
    assert list(lines(data, 8))[2] == "    0x000003e8  ##=o...o"


def test_what_is_not_known_is_not_drawn() -> None:
    state = dataclasses.replace(placed_state(), placed=Placed(fault="/proc/kpageflags: denied"))
    drawn = list(lines(report.snapshot(snapshot(state))["areas"][0]))
    assert drawn[0] == "  of the free  not known which are lent: /proc/kpageflags: denied"
    assert drawn[-1].endswith("# allocated  = deferred  . clear")


def test_rows_that_are_alike_are_counted() -> None:
    facts = AreaFacts(0, "big", 0, 1 << 16, 0)
    state = samples.state(facts, allocated=((0, 64), (640, 1)), extents=None)
    drawn = list(lines(report.snapshot(snapshot(state))["areas"][0], 1))
    assert [line.split("  ")[-1][:22] for line in drawn[1:-1]] == [
        "#" * 22, "." * 22, "8 more rows like it", "#" + "." * 21, "." * 22,
        "1012 more rows like it"]
    assert len(list(lines(report.snapshot(snapshot(state))["areas"][0]))) <= 18


def test_ranges_are_drawn_each_on_its_own() -> None:
    facts = AreaFacts(0, "two", 0, 96, 0, ((0, 64), (1 << 20, 32)))
    state = samples.state(facts, allocated=((1 << 20, 1),), extents=None)
    assert [line[4:] for line in lines(report.snapshot(snapshot(state))["areas"][0])][1:-1] == [
        "0x00000000  " + "." * 64, "0x00100000  #" + "." * 31]


def test_places_are_recorded_and_metered() -> None:
    state = placed_state()
    reading = samples.reading(5, (samples.counts(AREA), state))
    value = json.loads(values.dump(readings.reading_to_json(reading)))
    assert readings.reading_from_json(value, {0: AREA}).states == (state,)
    found = {name: number for name, labels, number in metrics.samples(snapshot(state))
             if labels[:1] == ("reserved",) and "pages" in name}
    assert (found["cma_buddy_pages"], found["cma_lent_pages"],
            found["cma_elsewhere_pages"]) == (17, 20, 3)
    orders = {labels[1]: number for name, labels, number in metrics.samples(snapshot(state))
              if name == "cma_clear_runs"}
    assert orders == {"0": 0, "1": 0, "2": 0, "3": 0, "4": 0, "5": 1, "6": 0}


def test_a_place_outside_of_the_area_cannot_be() -> None:
    state = dataclasses.replace(placed_state(), placed=Placed(((999, 2),)))
    assert state_fault(state) == "a page's place: pfn 0x3e7+2"
    assert not state_fault(placed_state())
