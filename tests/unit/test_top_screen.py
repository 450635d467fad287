# SPDX-License-Identifier: GPL-2.0
"""The screen: what it shows of a time line, and what keys change."""

from __future__ import annotations

import datetime
from dataclasses import replace

import golden
import pytest
from golden import samples, screens

from cmaobs import metrics
from cmaobs.state import Stayed
from cmaobs.top import grid, keys
from cmaobs.top.frame import of_text, of_view
from cmaobs.top.keys import Choice, Seen, press, tick
from cmaobs.top.layout import LEAST, Place, screen
from cmaobs.top.timeline import Timeline
from cmaobs.why import Busy

ZONE = datetime.UTC
HERE = Place("live", 80, 24, zone=ZONE)
RECORDED = Place("run.cmarec", 80, 24, live=False, ended=True, zone=ZONE)
START = screens.START_S
NOTHING = Choice()


def shown(choice: Choice = NOTHING, place: Place = HERE,
          timeline: Timeline | None = None) -> str:
    lines = screen(screens.timeline() if timeline is None else timeline, choice, place)
    assert all(grid.width_of(one) <= place.width for one in lines)
    if place.height is not None:
        assert len(lines) == place.height
    return grid.plain(lines)


@pytest.mark.parametrize(("name", "choice", "place"), [
    ("live", Choice(), HERE),
    ("wide", Choice(sort="use", reverse=True), replace(HERE, width=132, height=40)),
    ("whole", Choice(whole=True), replace(HERE, height=30)),
    ("codec", Choice(area="codec", sort="failed"), HERE),
    ("total", Choice(total=True, pattern="ser"), HERE),
    ("typing", Choice(typing="cam"), HERE),
    ("help", Choice(help=True), HERE),
    ("paused", Choice(at_s=START + 10.0), HERE),
    ("recorded", Choice(), RECORDED),
    ("playing", Choice(at_s=START + 5.0, playing=True), RECORDED),
    ("once", Choice(), replace(HERE, height=None)),
    ("small", Choice(), replace(HERE, width=40, height=12)),
])
def test_the_screen_is_as_it_was(name: str, choice: Choice, place: Place) -> None:
    golden.compare(f"top-{name}.txt", shown(choice, place))


def test_a_plain_kernel_and_a_divergence_are_as_they_were() -> None:
    golden.compare("top-plain.txt", shown(timeline=screens.timeline(patched=False)))
    golden.compare("top-diverge.txt", shown(timeline=screens.diverging()))


def test_before_the_first_reading_and_in_no_room_it_says_so() -> None:
    assert "waiting for the first reading" in shown(timeline=Timeline())
    for width, height in ((LEAST[0] - 1, 24), (80, LEAST[1] - 1), (1, 1)):
        lines = screen(screens.timeline(), Choice(), replace(HERE, width=width, height=height))
        assert grid.plain(lines).strip() == "needs 40x12"[:width]


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (81, 25), (200, 60), (60, 13)])
@pytest.mark.parametrize("choice", [Choice(), Choice(whole=True), Choice(help=True),
                                    Choice(typing="x" * 40), Choice(pattern="nothing")])
def test_every_size_is_kept(size: tuple[int, int], choice: Choice) -> None:
    for place in (HERE, RECORDED):
        for timeline in (screens.timeline(), screens.diverging()):
            assert shown(choice, replace(place, width=size[0], height=size[1]), timeline)


def failed() -> Timeline:
    """The device of golden.samples, where an allocation found a page busy."""
    page = Stayed(0x41234, 9, ("uptodate", "lru", "anon"), 2, 4)
    busy = samples.FAILURE._replace(
        wall_s=START + 9.8, errno="EBUSY", cause="busy", told="1 place tried, all busy",
        comm="came\x1bra", busy=(Busy(0x41200, 256, 0x41234, 0.012, page),))
    found = Timeline()
    found.add(of_view(replace(samples.view(), failures=(samples.FAILURE, busy))))
    return found


def test_an_area_in_full_has_failures_holders_and_phases() -> None:
    """All of them as text; on a screen one at a time."""
    place = replace(HERE, height=None)
    golden.compare("top-parts.txt", shown(Choice(whole=True), place, failed()))
    marks = {"map": "pages a character", "failures": "page 0x41234 stayed: uptodate lru anon",
             "holders": "kworker, v4l2: vim2m", "phases": "draining"}
    assert set(marks) == set(keys.PARTS)
    for part, mark in marks.items():
        text = shown(Choice(whole=True, part=part), timeline=failed())
        assert {other for other, sign in marks.items() if sign in text} == {part}, text
        assert mark in text
        assert f"[{part}]" in text


def test_what_a_source_does_not_have_is_said() -> None:
    far = Timeline()
    view = screens.view(20)
    far.add(of_text(metrics.exposition(view).decode()))
    text = shown(Choice(), timeline=far)
    assert "failures by cause, since the start" not in text
    view = replace(view, causes={2: {"no_room": 6, "busy": 0}})
    far.add(of_text(metrics.exposition(view).decode()))
    assert "failures by cause, since the start\ncodec         no_room 6\n" in shown(timeline=far)
    for area, part, expected in (
            ("codec", "failures", "an exporter does not tell failures one by one"),
            ("camera", "failures", "no allocation from this area failed"),
            ("codec", "holders", "holders are not followed by this source"),
            ("codec", "phases", "no phases: they need --phases"),
            ("codec", "map", "no map: this source does not have the area page by page")):
        assert expected in shown(Choice(area=area, whole=True, part=part), timeline=far)


def test_a_name_cannot_steer_the_terminal() -> None:
    text = shown(timeline=screens.diverging())
    assert "\x1b" not in text
    assert "re?[2Jserved" in text


def test_trouble_with_the_source_comes_first() -> None:
    text = shown(place=replace(HERE, note="for 12 s: cannot reach http://device:9759/metrics"))
    assert text.splitlines()[2] == "for 12 s: cannot reach http://device:9759/metrics"


def test_the_map_shows_each_page_where_there_is_room() -> None:
    now, _ = screens.timeline().pair(None, 2.0)
    text = shown(Choice(area="codec", whole=True), replace(HERE, height=60))
    rows = [line for line in text.splitlines() if line.startswith("0x000c")]
    assert "1 page a character" in text
    cells = "".join(row.split("  ", 1)[1] for row in rows)
    assert cells == "#" * 1984 + "." * 64
    assert sum(pages for _, pages in now.states["codec"].allocated) == 1984


@pytest.mark.parametrize(("low_s", "high_s", "expected"), [
    (0.0, 1e-7, "#......."), (1e-7, 1e-6, "##......"), (1e-5, 1e-3, "..###..."),
    (1.0, 1e9, ".......#"), (0.2, 0.3, "......#.")])
def test_the_bar_has_a_column_for_each_decade(low_s: float, high_s: float, expected: str) -> None:
    assert grid.plain([grid.span_bar(low_s, high_s, 8)]).rstrip() == expected


def test_a_bar_never_hides_a_little_nor_overflows() -> None:
    assert grid.plain([grid.bar(0.001, 12, more=0.001)]) == "[#=........]\n"
    assert grid.plain([grid.bar(1.0, 12, more=0.5)]) == "[##########]\n"
    assert grid.plain([grid.bar(0.0, 12)]) == "[..........]\n"
    assert grid.plain([grid.bar(None, 12)]) == "[??????????]\n"


@pytest.mark.parametrize(("value", "expected"), [
    (None, "-"), (0, "0"), (40.14, "40.1"), (16384, "16384"), (1234567, "1235k"),
    (99999999, "100M"), (1e16, "10000T"), (1e30, "1e+30")])
def test_numbers_fit(value: float | None, expected: str) -> None:
    assert grid.count(value) == expected


def seen(live: bool = True, timeline: Timeline | None = None) -> Seen:
    return Seen(screens.timeline() if timeline is None else timeline,
                ["reserved", "camera", "codec"], live)


def pressed(*names: str, live: bool = True, choice: Choice = NOTHING) -> Choice:
    for name in names:
        choice = press(choice, name, seen(live))
    return choice


def test_areas_are_selected_and_shown_in_full() -> None:
    assert pressed("down").area == "camera"
    assert pressed("j", "j", "down").area == "codec"
    assert pressed("down", "up", "k").area == "reserved"
    assert pressed("enter").whole
    assert not pressed("enter", "enter").whole
    assert not pressed("enter", "esc").whole
    assert (pressed("v").whole, pressed("v").part) == (True, "map")
    assert [pressed("enter", *["v"] * times).part for times in range(5)] == [*keys.PARTS, "map"]
    assert press(Choice(), "down", Seen(Timeline(), [], True)) == Choice()


def test_sorting_goes_through_all_columns() -> None:
    choice, found = Choice(), []
    for _ in keys.SORTS:
        found.append(choice.sort)
        assert shown(choice)
        choice = pressed("s", choice=choice)
    assert tuple(found) == keys.SORTS
    assert choice.sort == found[0]
    first = [line for line in shown(Choice(sort="use")).splitlines() if " [" in line]
    assert [line.split()[0] for line in first] == ["codec", "reserved", "camera"]
    first = [line for line in shown(Choice(sort="use", reverse=True)).splitlines()
             if " [" in line]
    assert [line.split()[0] for line in first] == ["camera", "reserved", "codec"]


def test_a_pattern_is_typed_taken_and_left() -> None:
    typing = pressed("/", "c", "q", "backspace", "o")
    assert (typing.typing, typing.pattern, typing.quit) == ("co", "", False)
    assert pressed("enter", choice=typing).pattern == "co"
    assert pressed("esc", choice=typing) == Choice()
    assert pressed("enter", "esc", choice=typing).pattern == ""
    rows = [line for line in shown(Choice(pattern="CO")).splitlines() if " [" in line]
    assert [line.split()[0] for line in rows] == ["codec"]
    assert "no area has 'x' in its name" in shown(Choice(pattern="x"))


def test_live_pauses_moves_and_follows_again() -> None:
    last = START + 20.0
    assert pressed("p").at_s == last
    assert pressed("p", " ").at_s is None
    assert pressed("left").at_s == last - 2
    assert pressed("left", "left", "right").at_s == last - 2
    assert pressed("left", "right").at_s is None
    assert pressed("home").at_s == START
    assert pressed("home", "pagedown").at_s == START + 2
    assert pressed("pageup").at_s == last - 2
    assert pressed("home", "end").at_s is None


def test_a_recording_plays_to_its_end() -> None:
    playing = pressed(" ", live=False)
    assert (playing.playing, playing.at_s) == (True, START)
    timeline = screens.timeline()
    later = tick(playing, 7.5, timeline)
    assert later.at_s == START + 7.5
    assert not pressed(" ", live=False, choice=later).playing
    assert tick(pressed(" ", live=False, choice=later), 5, timeline).at_s == START + 7.5
    assert tick(later, 100, timeline) == Choice()
    assert tick(Choice(), 100, timeline) == Choice()
    assert not pressed("end", live=False, choice=later).playing


def test_other_keys() -> None:
    assert pressed("q").quit
    assert pressed("t").total
    assert pressed("r").reverse
    assert pressed("?").help
    assert pressed("h", "x") == Choice()
    assert pressed("?", "q").quit
    assert pressed("Z", "") == Choice()
