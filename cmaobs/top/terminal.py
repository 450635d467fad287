# SPDX-License-Identifier: GPL-2.0
"""The terminal, through curses: what it can do is what its terminfo entry says."""

from __future__ import annotations

import contextlib
import curses
import os
import sys
import time
from collections.abc import Callable

from cmaobs.errors import HostError, UsageError
from cmaobs.top import keys
from cmaobs.top.figures import areas
from cmaobs.top.grid import Line, Style
from cmaobs.top.keys import Choice, Seen
from cmaobs.top.layout import Place, listed, screen
from cmaobs.top.timeline import Timeline

_POLL_MS = 100
_NAMES = {
    curses.KEY_LEFT: "left", curses.KEY_RIGHT: "right", curses.KEY_UP: "up",
    curses.KEY_DOWN: "down", curses.KEY_PPAGE: "pageup", curses.KEY_NPAGE: "pagedown",
    curses.KEY_HOME: "home", curses.KEY_END: "end", curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace", 10: "enter", 13: "enter", 27: "esc", 8: "backspace",
    127: "backspace"}
_COLOURS: dict[Style, int] = {
    "good": curses.COLOR_GREEN, "warn": curses.COLOR_YELLOW, "bad": curses.COLOR_RED,
    "allocated": curses.COLOR_CYAN, "deferred": curses.COLOR_YELLOW}
_ATTRIBUTES: dict[Style, int] = {
    "": curses.A_NORMAL, "head": curses.A_REVERSE, "bold": curses.A_BOLD, "dim": curses.A_DIM,
    "select": curses.A_REVERSE, "bad": curses.A_BOLD, "warn": curses.A_BOLD, "good": curses.A_BOLD}


def check() -> None:
    """Raises UsageError where there is no terminal, and HostError where it cannot do this."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("standard input and output are no terminal", "use --once or --json")
    try:
        curses.setupterm()
        capable = curses.tigetstr("cup") is not None
    except curses.error:
        capable = False
    if not capable:
        name = os.environ.get("TERM", "")
        raise HostError(f"the terminal type {name[:40]!r} is not known or cannot place the cursor",
                        "set TERM, on a serial console to vt100 or vt220, or use --once")


def show(timeline: Timeline, more: Callable[[], bool], place: Callable[[int, int], Place],
         colours: bool, choice: Choice) -> None:
    """Show the time line, at first as chosen, and answer keys until the user quits.

    more: takes what has come, and says whether to go on. place: where to draw, of width and height.
    """
    curses.set_escdelay(50)
    curses.wrapper(lambda window: _Screen(window, colours).run(timeline, more, place, choice))


class _Screen:
    def __init__(self, window: curses.window, colours: bool) -> None:
        self._window = window
        self._styles = dict(_ATTRIBUTES)
        window.timeout(_POLL_MS)
        with contextlib.suppress(curses.error):  # some cannot hide it
            curses.curs_set(0)
        if curses.has_colors():
            curses.use_default_colors()  # else curses paints white on black
            for number, (style, colour) in enumerate(_COLOURS.items() if colours else (), start=1):
                curses.init_pair(number, colour, -1)
                self._styles[style] = _ATTRIBUTES.get(style, 0) | curses.color_pair(number)

    def run(self, timeline: Timeline, more: Callable[[], bool],
            place: Callable[[int, int], Place], choice: Choice) -> None:
        """Until the user quits, or more() says so."""
        then = time.monotonic()
        drawn: object = None
        while not choice.quit and more():
            now = time.monotonic()
            choice, then = keys.tick(choice, now - then, timeline), now
            height, width = self._window.getmaxyx()
            where = place(width, height)
            if drawn != (timeline.added, choice, where):  # else the processor is left alone
                drawn = timeline.added, choice, where
                self._draw(screen(timeline, choice, where))
            key = self._key()
            if key:
                choice = keys.press(choice, key, _seen(timeline, choice, where))

    def _key(self) -> str:
        code = self._window.getch()
        if code in _NAMES:
            return _NAMES[code]
        if code == 12:  # Ctrl-L
            self._window.redrawwin()
        return chr(code) if 32 <= code < 127 else ""

    def _draw(self, lines: list[Line]) -> None:
        self._window.erase()
        height, width = self._window.getmaxyx()
        for y, one in enumerate(lines[:height]):
            x = 0
            for span in one:
                # the last column of the last line cannot be written without scrolling
                with contextlib.suppress(curses.error):
                    self._window.addstr(y, x, span.text[:width - x],
                                        self._styles.get(span.style, 0))
                x += len(span.text)
        self._window.refresh()


def _seen(timeline: Timeline, choice: Choice, where: Place) -> Seen:
    """What is listed now, which the keys that select refer to."""
    if not len(timeline):
        return Seen(timeline, [], where.live)
    now, before = timeline.pair(choice.at_s, where.interval_s)
    found = listed(areas(now, None if choice.total else before), choice)
    return Seen(timeline, [one.name for one in found], where.live)
