# SPDX-License-Identifier: GPL-2.0
"""Each cause of failure from the smallest history that has it, and unknown where it cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from golden import samples
from golden.samples import ListSource, alloc, batch, contig, counts, reading, release, state

from cmaobs import metrics, report
from cmaobs.events import Path, Record
from cmaobs.observe import Observer
from cmaobs.runs import longest, runs
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, AreaState, Reading, Run, Stayed
from cmaobs.view import View
from cmaobs.why import CAUSES, KEPT, Failure, page_told

AREA = AreaFacts(0, "reserved", 0x40000, 64, 0)
BASE = AREA.base_pfn
EARLY, LATE = 1000, 100_000


def failed(start: int, end: int, pages: int, ret: int = -12, **values: int) -> Record:
    return alloc(start, end, 0, pages, Path.FAILED, ret=ret, **values)


def read(at_ns: int, *allocated: Run, losses: Mapping[str, int] | None = None,
         stayed: tuple[Stayed, ...] = (), area: AreaFacts = AREA, **counters: int) -> Reading:
    one = reading(at_ns, (counts(area, **counters), state(area, at_ns - 2000, allocated)),
                  losses=losses)
    return dataclasses.replace(one, stayed=stayed)


def seen(*steps: Batch | Reading, area: AreaFacts = AREA) -> View:
    observer = Observer(ListSource(*steps, areas=(area,)))
    assert len(list(observer.steps())) == len(steps)
    return observer.view


def why(*records: Record, held: tuple[Run, ...] = (), area: AreaFacts = AREA) -> Failure:
    """Of the one failure among the records, after a reading of what was allocated."""
    view = seen(read(10_000, *held, area=area), batch(*records, watermark=LATE),
                read(LATE, area=area), area=area)
    one, = view.failures
    assert view.causes[0] == dict.fromkeys(CAUSES, 0) | {one.cause: 1}
    return one


HALVES = ((BASE + 16, 16), (BASE + 48, 16))
# 8 and 40 pages are clear, the second run from page 20 on.
UNEVEN = ((BASE + 8, 12), (BASE + 60, 4))


@pytest.mark.parametrize(("pages", "align", "held", "cause", "told"), [
    (17, 0, HALVES, "fragmented", "asked for 17 pages; 32 were clear, 16 in the longest run"),
    (33, 0, HALVES, "no_room", "asked for 33 pages; 32 were clear, 16 in the longest run"),
    (1, 0, ((BASE, 64),), "no_room", "asked for 1 pages; 0 were clear, 0 in the longest run"),
    (40, 5, UNEVEN, "alignment", "asked for 40 pages; 48 were clear, 40 in the longest run, none "
     "at a multiple of 32 pages"),
    (41, 5, UNEVEN, "fragmented", "asked for 41 pages; 48 were clear, 40 in the longest run"),
    (65, 0, (), "oversize", "asked for 65 pages of an area that has 64"),
    (0, 0, (), "zero", "asked for 0 pages"),
    (16, 4, HALVES, "unknown", "asked for 16 pages; 32 were clear, 16 in the longest run: it had "
     "room all the time, so something was not seen"),
])
def test_the_bitmap_tells(pages: int, align: int, held: tuple[Run, ...], cause: str,
                          told: str) -> None:
    one = why(failed(20_000, 21_000, pages, align=align), held=held)
    assert (one.cause, one.told, one.errno, one.align) == (cause, told, "ENOMEM", align)


@pytest.mark.parametrize(("ret", "cause", "errno"), [
    (-16, "busy", "EBUSY"), (-4, "interrupted", "EINTR"), (-12, "no_memory", "ENOMEM"),
    (-22, "other", "-22")])
def test_what_the_contig_call_returned_tells(ret: int, cause: str, errno: str) -> None:
    calls = [contig(20_100, 20_200, 20_000, BASE, 8, -16),
             contig(20_300, 20_400, 20_000, BASE + 8, 8, ret)]
    one = why(*calls, failed(20_000, 21_000, 8, ret, n_contig=2))
    assert (one.cause, one.errno, one.tries) == (cause, errno, 2)
    assert [(place.pfn, place.pages, place.stayed) for place in one.busy] == [
        (BASE, 8, 0), (BASE + 8, 8, 0)]
    assert one.clear_pages is None


def test_several_pages_to_a_bit_and_a_part_of_one() -> None:
    """4 pages to a bit: 5 pages take two bits, and the release of them clears both."""
    area = dataclasses.replace(AREA, order_per_bit=2)
    held = ((BASE, 60),)
    one = why(failed(20_000, 21_000, 5), held=held, area=area)
    assert (one.cause, one.clear_pages) == ("no_room", (4, 4))
    one = why(release(15_000, 16_000, BASE + 8, 5), failed(20_000, 21_000, 12), held=held,
              area=area)
    assert (one.cause, one.clear_pages, one.largest_run_pages) == ("fragmented", (12, 12), (8, 8))


def test_no_run_crosses_from_one_range_to_another() -> None:
    area = dataclasses.replace(AREA, ranges=((BASE, 32), (BASE + 32, 32)))
    held = ((BASE, 16), (BASE + 48, 16))
    one = why(failed(20_000, 21_000, 17), held=held, area=area)
    assert (one.cause, one.largest_run_pages) == ("fragmented", (16, 16))
    assert why(failed(20_000, 21_000, 33), area=area).cause == "oversize"


@pytest.mark.parametrize(("other", "cause"), [
    (alloc(15_000, 16_000, BASE, 32, Path.HIT), "no_room"),  # before: certain
    (alloc(15_000, 20_500, BASE, 32, Path.HIT), "unknown"),  # before or after
    (alloc(20_500, 25_000, BASE, 32, Path.HIT), "unknown"),
    (alloc(21_500, 25_000, BASE, 32, Path.HIT), "fragmented"),  # after: certain
])
def test_what_overlaps_is_not_guessed(other: Record, cause: str) -> None:
    """40 pages in two runs of 32 and 8; 33 asked for."""
    held = ((BASE + 32, 24),)
    one = why(other, failed(20_000, 21_000, 33), held=held)
    assert one.cause == cause
    if cause == "unknown":
        assert one.clear_pages == (8, 40)
        assert one.told == ("asked for 33 pages; 8 to 40 were clear, 8 to 32 in the longest run: "
                            "pages changed hands while it searched")


def test_a_release_in_flight_does_not_undo_the_grant_after_it() -> None:
    """Its bits were cleared, and set again for another, before it returned."""
    held = ((BASE, 64),)
    slow = release(12_000, 19_000, BASE, 64)
    again = alloc(15_000, 16_000, BASE, 64, Path.HIT)
    one = why(slow, again, failed(20_000, 21_000, 1), held=held)
    assert (one.cause, one.clear_pages) == ("no_room", (0, 0))


def test_what_was_tried_in_vain_is_clear_again() -> None:
    tried = [contig(15_100, 15_200, 15_000, BASE, 32, -4),
             failed(15_000, 16_000, 32, -4, n_contig=1)]
    held = ((BASE + 32, 32),)
    view = seen(read(10_000, *held), batch(*tried, failed(20_000, 21_000, 33), watermark=LATE),
                read(LATE))
    assert [(one.cause, one.clear_pages) for one in view.failures] == [
        ("interrupted", None), ("no_room", (32, 32))]
    view = seen(read(10_000, *held), batch(*tried, failed(15_500, 15_600, 33), watermark=LATE),
                read(LATE))
    assert view.failures[-1].clear_pages == (0, 32)
    assert view.failures[-1].cause == "no_room"


def test_it_is_decided_once_all_that_overlaps_it_has_arrived() -> None:
    held = ((BASE + 32, 24),)
    first = [read(10_000, *held), batch(failed(20_000, 21_000, 33), watermark=15_000),
             read(30_000, *held)]
    early = seen(*first)
    assert [one.told for one in early.failures] == [
        "asked for 33 pages; what overlapped it may not have arrived"]
    late = seen(*first, batch(alloc(19_000, 40_000, BASE, 32, Path.HIT), watermark=50_000),
                read(LATE, *held))
    assert [(one.cause, one.clear_pages) for one in late.failures] == [("unknown", (8, 40))]


@pytest.mark.parametrize(("steps", "told"), [
    ((batch(failed(20_000, 21_000, 33), watermark=LATE), read(LATE)),
     "the area had not been read before"),
    ((read(10_000), batch(failed(20_000, 21_000, 33), watermark=LATE),
      read(LATE, losses={"ring_full": 1})), "records were lost meanwhile"),
    ((read(10_000), batch(alloc(15_000, 16_000, 0, 4, Path.HIT), failed(20_000, 21_000, 33),
                          watermark=LATE), read(LATE)),
     "this kernel does not tell which pages are granted"),
])
def test_why_it_is_unknown(steps: tuple[Batch | Reading, ...], told: str) -> None:
    one = seen(*steps).failures[-1]
    assert (one.cause, one.told) == ("unknown", f"asked for 33 pages; {told}")


def test_a_reading_of_an_area_in_motion() -> None:
    """What was in flight while the bitmap was read is not certain; all else is."""
    def torn(at_ns: int, *allocated: Run) -> AreaState:
        return dataclasses.replace(state(AREA, at_ns, allocated), at_rest=False)
    first = reading(12_000, (counts(AREA), torn(10_000, (BASE, 32))))
    slow = release(9_000, 10_500, BASE, 16)
    taken = alloc(9_500, 13_000, BASE + 32, 16, Path.HIT)
    view = seen(first, batch(slow, taken, failed(20_000, 21_000, 49), watermark=LATE), read(LATE))
    one, = view.failures
    assert (one.cause, one.clear_pages) == ("no_room", (16, 32))


def test_what_the_kernel_counted_and_nobody_saw_is_unknown() -> None:
    view = seen(read(10_000), batch(failed(20_000, 21_000, 65), watermark=29_000),
                read(30_000, allocs_enomem=3, losses={"ring_full": 2}), read(LATE))
    assert view.causes[0] == dict.fromkeys(CAUSES, 0) | {"oversize": 1, "unknown": 2}
    values = {labels: value for name, labels, value in metrics.samples(view)
              if name == "cma_alloc_failure_causes_total"}
    assert values[AREA.name, "unknown"] == 2
    assert len(values) == len(CAUSES)


def test_the_latest_are_kept_and_all_are_counted() -> None:
    many = [failed(20_000 + at, 20_000 + at, 65 + at) for at in range(KEPT + 5)]
    view = seen(read(10_000), batch(*many, watermark=LATE), read(LATE))
    assert [one.pages for one in view.failures] == [65 + at for at in range(5, KEPT + 5)]
    assert view.causes[0]["oversize"] == KEPT + 5
    last = view.failures[-1]
    assert (last.area, last.comm, last.pid) == (AREA.name, "loadmaker", 1000)


def busy_view(page: Stayed) -> View:
    call = contig(20_100, 20_200, 20_000, BASE, 8, -16)._replace(busy=4)
    return seen(read(10_000), batch(call, failed(20_000, 21_000, 8, -16, n_contig=1),
                                    watermark=LATE), read(LATE, stayed=(page,)))


def test_the_page_that_stayed_is_told_as_it_was_read() -> None:
    flags = ("uptodate", "lru", "mmap", "anon", "swapbacked")
    view = busy_view(Stayed(BASE + 3, 2_020_200, flags, 1, 2, "cat[7] in alloc_pages"))
    place, = view.failures[0].busy
    assert (place.stayed, place.after_s) == (BASE + 3, 0.002)
    assert page_told(place.data()) == (
        "page 0x40003 stayed: uptodate lru mmap anon swapbacked; in 1 page table; 2 references, "
        "1 more than its users explain; allocated by cat[7] in alloc_pages; as read 2 ms after")
    drawn = report.draw_summary(report.summary(view))
    assert "  failures     1 busy\n    busy: asked for 8 pages; 1 place tried, all busy; " \
        "loadmaker[1000]\n      page 0x40003 stayed: uptodate" in drawn


@pytest.mark.parametrize(("page", "told"), [
    (Stayed(BASE + 3, 2_020_200, ("lru",), 0, 1, ""), "1 references;"),
    (Stayed(BASE + 3, 2_020_200, ("lru", "private"), 0, 3, ""), "3 references, 1 more"),
    (Stayed(BASE + 3, 2_020_200, None, None, None, ""), "flags not readable; as read"),
    (Stayed(BASE + 3, 2_020_200, ("buddy",), 0, 0, ""), "buddy; in 0 page tables; 0 references;"),
    (Stayed(BASE + 9, 2_020_200, ("lru",), 0, 1, ""), "page 0x40003 stayed"),  # another page
    (Stayed(BASE + 3, 20_000, ("lru",), 0, 1, ""), "page 0x40003 stayed"),  # read before the call
])
def test_no_more_is_told_of_a_page_than_was_read(page: Stayed, told: str) -> None:
    text = page_told(busy_view(page).failures[0].busy[0].data())
    assert told in text
    assert ("as read" in text) == (page.pfn == BASE + 3 and page.at_ns > 20_200)


def test_retries_are_told() -> None:
    view = dataclasses.replace(samples.view(), causes={})
    assert view.reading is not None
    tried = counts(samples.AREA, allocs_retried=2, alloc_retries=5)
    view = dataclasses.replace(view, reading=dataclasses.replace(view.reading, counts=(tried,)))
    assert "  retries      2 allocations tried 5 places beyond the first" in \
        report.draw_summary(report.summary(view))
    values = {name: value for name, _, value in metrics.samples(view)}
    assert values["cma_alloc_retries_total"] == 5
    assert values["cma_alloc_retried_total"] == 2


@pytest.mark.parametrize(("members", "expected"), [
    (0, 0), (1, 1), (0b1011, 2), (0b111011110, 4), ((1 << 200) - 1, 200),
    (((1 << 100) - 1) << 7 | 0b11, 100)])
def test_the_longest_run_is_found(members: int, expected: int) -> None:
    assert longest(members) == expected == max((size for _, size in runs(members)), default=0)
