# SPDX-License-Identifier: GPL-2.0
"""Show the areas on a live screen: use, deferred pages, hits, rates, latency by path, failures.

SOURCE is the address of a `cmaobs serve` elsewhere, or a recording, through which you can move in
time; without one it is the running kernel, which needs root. Works on any terminal of 40x12 and
more, over ssh and on a serial console. ? lists the keys, q quits.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator

from cmaobs import config
from cmaobs.commands import running
from cmaobs.errors import CmaobsError, RecordingError, UsageError
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.source import Source
from cmaobs.top import feeds, figures, remote
from cmaobs.top.feeds import Feed
from cmaobs.top.grid import plain
from cmaobs.top.keys import Choice
from cmaobs.top.layout import Place, screen
from cmaobs.top.timeline import Timeline
from cmaobs.verdict import Outcome

EXAMPLES = """exit status:
  0 when you quit; of --once and --json the verdict: 0 agree, 1 diverge, 3 unknown

caveats:
  Without SOURCE probes are attached, which takes seconds and costs what `serve` costs.
  An exporter gives no map and no single failures, and its quantiles are a factor of two wide.
  Of more than 512 screens in a run, every other is forgotten, and so on.

examples:
  cmaobs top                                the running kernel
  cmaobs top http://device:9759             a device that serves
  cmaobs top run.cmarec                     a recording: Left, Right and Space move in time
  cmaobs top --once | head -20
  cmaobs top run.cmarec --once --total      all of it, as text
  cmaobs top run.cmarec --once --at 12.5s   the screen at that time
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    time = config.argument("interval")
    parser.add_argument("source", metavar="SOURCE", nargs="?",
                        help="http://HOST:PORT or a recording (default: the running kernel)")
    parser.add_argument("--interval", metavar="TIME", type=time, dest="every", default=2.0,
                        help="time between screens (default 2s)")
    parser.add_argument("--area", metavar="NAME", help="begin with this area, in full")
    parser.add_argument("--total", action="store_true",
                        help="begin with figures since the observer began, not of an interval")
    parser.add_argument("--once", action="store_true", help="print one screen as text, and end")
    parser.add_argument("--at", metavar="TIME", type=config.argument("duration"),
                        help="with --once and a recording: the screen at this time after its "
                        "beginning, such as 12.5s (default: its end)")
    parser.add_argument("--no-color", action="store_true",
                        help="no colours; nor with NO_COLOR in the environment")
    config.add_flags(parser, ("duration", "attach", "ring-pages", "root", "policy"))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, or the verdict of what was printed."""
    settings = config.settings(args)
    once = args.once or args.json
    remotely = args.source is not None and "://" in args.source
    live = args.source is None or remotely
    if args.at is not None and (live or not once):
        raise UsageError("--at is for a recording with --once", "see `cmaobs top --help`")
    if not once:
        from cmaobs.top import terminal
        terminal.check()
    with running.Stop(settings.duration) as stop, _frames(args, settings) as frames, \
            Feed(frames, patience_s=0.5 if remotely else None) as feed:
        stop.begin()
        watch = _Watch(feed, stop, args.source or "live", live, args.every)
        if once:
            return _print(watch, args)
        terminal.show(watch.timeline, watch.more, watch.place,
                      not (args.no_color or os.environ.get("NO_COLOR")),
                      _choice(args))
    return 0


def _choice(args: argparse.Namespace) -> Choice:
    return Choice(area=args.area, whole=args.area is not None, total=args.total)


@contextlib.contextmanager
def _frames(args: argparse.Namespace, settings: config.Settings) -> Iterator[feeds.Frames]:
    """What makes the frames of the source asked for; closes it at the end."""
    if args.source is not None and "://" in args.source:
        yield feeds.asked(remote.address(args.source), args.every)
        return
    source: Source
    if args.source is not None:
        source, every_s = RecordingSource(args.source), 0.0
    else:
        running.say("attaching; this takes seconds")
        source = running.open_live(dataclasses.replace(
            settings, interval=min(settings.interval, args.every)))
        every_s = args.every
    try:
        observer = Observer(source, running.checker(source, settings.policy), follow=True)
        yield feeds.observed(observer, every_s)
    finally:
        source.close()


class _Watch:
    """What the screen shows: the frames that have come, and how the source is."""

    def __init__(self, feed: Feed, stop: running.Stop, source: str, live: bool,
                 interval_s: float) -> None:
        self.timeline = Timeline()
        self._feed, self._stop, self._source, self._live = feed, stop, source, live
        self._interval_s = interval_s
        self._taken = 0

    def more(self, wait_s: float = 0.0) -> bool:
        """Take what has come; False once the run is over. Raises what ended the source."""
        ended = self._feed.ended
        for frame in self._feed.take(wait_s):
            self.timeline.add(frame)
            self._taken += 1
        error = self._feed.error
        if error is not None and not (isinstance(error, RecordingError) and len(self.timeline)):
            raise error
        return not self._stop() and not (ended and self._live)

    def place(self, width: int, height: int | None) -> Place:
        """Where to draw, and what to say of the source."""
        ended = self._feed.ended  # before its error is looked at, which is set by then
        error = self._feed.error
        note = error.message if isinstance(error, CmaobsError) else self._feed.note
        return Place(self._source, width, height, self._live, ended, note, self._interval_s)

    def gather(self, wanted: int | None) -> None:
        """Wait for so many frames, or for the end of the source.

        An exporter may give the same reading twice, which makes one moment.
        """
        while self.more(0.2) and not self._feed.ended:
            if wanted is not None and self._taken >= wanted:
                return
        self.more()


def _print(watch: _Watch, args: argparse.Namespace) -> int:
    """One screen as text or JSON, of an interval; returns the verdict's exit status."""
    recorded = not watch.place(80, None).live
    watch.gather(None if recorded else 2)
    if not len(watch.timeline):
        raise UsageError("there is no reading to show", "give it more time, or another recording")
    first, last = watch.timeline.span
    if args.at is not None and args.at > last - first:
        raise UsageError(f"the recording ends {last - first:.1f} s after its beginning",
                         "give an earlier time with --at")
    at_s = None if args.at is None else first + args.at
    now, before = watch.timeline.pair(at_s, args.every)
    if args.area is not None and args.area not in now.areas:
        raise UsageError(f"there is no area {args.area[:64]!r}", "areas: " + ", ".join(now.areas))
    if args.json:
        print(json.dumps(figures.data(now, None if args.total else before), indent=1))
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        print(plain(screen(watch.timeline, dataclasses.replace(_choice(args), at_s=at_s),
                           watch.place(max(80, width), None))), end="")
    return Outcome[(now.outcome or "unknown").upper()].value
