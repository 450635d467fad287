# SPDX-License-Identifier: GPL-2.0
"""What the user has chosen to see, and what each key changes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from cmaobs.top.timeline import Timeline

SORTS = ("name", "use", "deferred", "fragmentation", "hits", "allocs", "releases", "failed", "p99")
PARTS = ("map", "failures", "holders", "phases")
_PAGE = 10  # of the time line: a tenth
# For terminals whose keyboard lacks the key, or says something that terminfo does not know.
_ALIASES = {"k": "up", "j": "down", ",": "left", ".": "right", "<": "pageup", ">": "pagedown",
            "g": "home", "G": "end"}


@dataclass(frozen=True, slots=True)
class Choice:
    """at_s: the moment shown, None follows the latest. playing: a recording runs on from there.
    area: the one selected, None is the first. whole: that one in full, with this part
    of PARTS. pattern: only areas whose
    name has it. typing: a pattern being typed. total: since the observer began, not the interval.
    """

    at_s: float | None = None
    playing: bool = False
    area: str | None = None
    whole: bool = False
    part: str = "map"
    sort: str = "name"
    reverse: bool = False
    pattern: str = ""
    typing: str | None = None
    total: bool = False
    help: bool = False
    quit: bool = False


class Seen(NamedTuple):
    """What keys refer to. areas: names, as they are listed. live: the source goes on by itself."""

    timeline: Timeline
    areas: list[str]
    live: bool


def press(choice: Choice, key: str, seen: Seen) -> Choice:
    """The choice after a key; a key without meaning changes nothing."""
    if choice.typing is not None:
        return _type(choice, key)
    if choice.help:
        return replace(choice, help=False, quit=key == "q")
    key = _ALIASES.get(key, key)
    if key in ("left", "right", "pageup", "pagedown", "home", "end"):
        return _move(choice, key, seen)
    if key in ("up", "down"):
        return _select(choice, -1 if key == "up" else 1, seen.areas)
    if key in (" ", "p"):
        return _pause(choice, seen)
    return _other(choice, key)


def tick(choice: Choice, seconds: float, timeline: Timeline) -> Choice:
    """The choice after some time: what plays moves on, and stops at the end."""
    if not choice.playing or choice.at_s is None or not len(timeline):
        return choice
    at_s = choice.at_s + seconds
    if at_s >= timeline.span[1]:
        return replace(choice, at_s=None, playing=False)
    return replace(choice, at_s=at_s)


def _other(choice: Choice, key: str) -> Choice:
    after = SORTS[(SORTS.index(choice.sort) + 1) % len(SORTS)]
    part = PARTS[(PARTS.index(choice.part) + choice.whole) % len(PARTS)]
    changes: dict[str, Choice] = {
        "q": replace(choice, quit=True),
        "enter": replace(choice, whole=not choice.whole),
        "esc": replace(choice, whole=False, pattern="" if not choice.whole else choice.pattern),
        "v": replace(choice, whole=True, part=part),
        "s": replace(choice, sort=after),
        "r": replace(choice, reverse=not choice.reverse),
        "t": replace(choice, total=not choice.total),
        "/": replace(choice, typing=choice.pattern, whole=False),
        "?": replace(choice, help=True),
        "h": replace(choice, help=True),
    }
    return changes.get(key, choice)


def _type(choice: Choice, key: str) -> Choice:
    assert choice.typing is not None
    if key == "enter":
        return replace(choice, pattern=choice.typing, typing=None, area=None)
    if key == "esc":
        return replace(choice, typing=None)
    if key == "backspace":
        return replace(choice, typing=choice.typing[:-1])
    if len(key) == 1 and key.isprintable() and len(choice.typing) < 40:
        return replace(choice, typing=choice.typing + key)
    return choice


def _select(choice: Choice, step: int, areas: list[str]) -> Choice:
    if not areas:
        return choice
    place = areas.index(choice.area) if choice.area in areas else 0
    return replace(choice, area=areas[min(max(place + step, 0), len(areas) - 1)])


def _pause(choice: Choice, seen: Seen) -> Choice:
    if not len(seen.timeline):
        return choice
    first, last = seen.timeline.span
    if seen.live:
        return replace(choice, at_s=last if choice.at_s is None else None)
    if choice.playing:
        return replace(choice, playing=False)
    return replace(choice, playing=True, at_s=first if choice.at_s is None else choice.at_s)


def _move(choice: Choice, key: str, seen: Seen) -> Choice:
    timeline = seen.timeline
    if not len(timeline):
        return choice
    page = max(1, len(timeline) // _PAGE)
    step = {"left": -1, "right": 1, "pageup": -page, "pagedown": page,
            "home": -len(timeline), "end": len(timeline)}[key]
    place = timeline.place(choice.at_s) + step
    if place >= len(timeline) - 1:
        return replace(choice, at_s=None, playing=False)
    return replace(choice, at_s=timeline.at(place).wall_s)
