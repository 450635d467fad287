# SPDX-License-Identifier: GPL-2.0
"""The screen as lines of text: a table of areas, the selected one below, keys at the foot. Pure."""

from __future__ import annotations

import datetime
import textwrap
from dataclasses import dataclass

from cmaobs.top import figures, grid
from cmaobs.top.area import latencies
from cmaobs.top.figures import AreaFigures
from cmaobs.top.frame import Frame
from cmaobs.top.grid import Line, Span, Style, line
from cmaobs.top.keys import PARTS, Choice
from cmaobs.top.timeline import Timeline
from cmaobs.top.whole import whole

LEAST = (40, 12)
_OUTCOME: dict[str, Style] = {"agree": "good", "diverge": "bad", "unknown": "warn"}
_HEAD = "AREA          PAGES USE                 DEFER  FRAG   HIT ALLOC/s  FREE/s FAILED"
_HELP = """\
AREA     its name; the selected one is shown below, Enter shows it in full
PAGES    of the area
USE      # held by callers, = deferred, . free; the figure is what callers hold
DEFER    pages kept aside for the next allocation; - where the kernel does not
FRAG     0%: all clear pages are one run; near 100%: large requests fail
HIT      of what was granted, the share that came from the deferred list
ALLOC/s  FREE/s  FAILED   in the interval since the screen before
P50 P99  the true value lies between the two figures

Up Down    select an area; Enter shows it in full, and back
v          in full: the next of map, failures, holders, phases
s  r       sort by the next column; the other way round
t          figures since the start, or of the interval
/          only areas with this in their names; Esc takes it away
Space p    pause; play a recording
Left Right PageUp PageDown Home End   move in time; End follows again
k j , . < > g G                       as Up, Down, and these in their order
q          quit"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is drawn and what of. source: such as "live" or a file's name. note: what the user
    should know of the source now. live: it goes on. ended: no more frames come. height: None for as
    many lines as it takes. interval_s: what figures are of, as far as the frames allow.
    zone: of the clock shown, None being the machine's.
    """

    source: str
    width: int = 80
    height: int | None = None
    live: bool = True
    ended: bool = False
    note: str = ""
    interval_s: float = 2.0
    zone: datetime.tzinfo | None = None


def listed(found: list[AreaFigures], choice: Choice) -> list[AreaFigures]:
    """The areas that the choice leaves, in its order."""
    def key(one: AreaFigures) -> float:
        value = {"use": one.use, "deferred": one.deferred, "fragmentation": one.fragmentation,
                 "hits": one.hit_share, "allocs": one.allocs_per_s,
                 "releases": one.releases_per_s, "failed": one.failed,
                 "p99": one.p99[0] if one.p99 else None}[choice.sort]
        return -1.0 if value is None else value

    kept = [one for one in found if choice.pattern.lower() in one.name.lower()]
    if choice.sort != "name":
        kept.sort(key=key, reverse=True)
    return kept[::-1] if choice.reverse else kept


def screen(timeline: Timeline, choice: Choice, place: Place) -> list[Line]:
    """The lines to show, none wider than the place, and no more than it is high."""
    if (place.width, place.height or LEAST[1]) < LEAST or (place.height or LEAST[1]) < LEAST[1]:
        return [grid.cut(line(f"needs {LEAST[0]}x{LEAST[1]}"), place.width)]
    foot = _foot(timeline, choice, place)
    if choice.help:
        body = [line(text) for text in _HELP.splitlines()]
    elif not len(timeline):
        body = [line("waiting for the first reading")]
    else:
        now, before = timeline.pair(choice.at_s, place.interval_s)
        found = listed(figures.areas(now, None if choice.total else before), choice)
        chosen = next((one for one in found if one.name == choice.area),
                      found[0] if found else None)
        body = _head(now, place)
        rows = None if place.height is None else place.height - len(body) - len(foot)
        seconds = None if before is None or choice.total else now.wall_s - before.wall_s
        if choice.whole and chosen is not None:
            body += whole(chosen, now, seconds, place.width, rows, choice.part, place.zone)
        else:
            body += _table(found, chosen, choice, place.width, rows)
            if chosen is not None:
                body += [line(), *latencies(chosen, seconds, place.width)]
            body += _failures(now, place)
    lines = body
    if place.height is not None:
        lines = lines[:place.height - len(foot)]
        lines += [line()] * (place.height - len(foot) - len(lines))
    return [grid.cut(one, place.width) for one in (*lines, *foot)]


def _head(now: Frame, place: Place) -> list[Line]:
    release, _, patched = next(iter(now.labels("cma_kernel_info")), ("?", "", ""))
    defers = {"yes": ", defers", "no": ", does not defer"}.get(patched, "")
    outcome = now.outcome or "no verdict"
    right = f"{grid.clock(now.wall_s, place.zone)}   "
    room = place.width - len(right) - len(outcome)
    kernel = f"   kernel {release}{defers}"
    source = grid.end_of(place.source, max(12, room - 1 - len("cmaobs top   ") - len(kernel)))
    left = f"cmaobs top   {source}{kernel}"
    first = line(Span(f"{left[:room - 1]:<{room}}", "bold"), right,
                 Span(outcome, _OUTCOME.get(outcome, "")))
    lost = now.total("cmaobs_losses_total")
    seen, decided = (now.total(f"cmaobs_model_{what}_total") for what in ("operations", "decided"))
    rests = now.labels("cmaobs_model_last_rest_timestamp_seconds")
    rest = max((now.number("cmaobs_model_last_rest_timestamp_seconds", *one) or 0
                for one in rests), default=None)
    second = line(
        f"records {now.total('cmaobs_records_total'):.0f}, ",
        Span(f"lost {lost:.0f}", "bad") if lost else "lost nothing",
        f"; operations {seen:.0f}, decided {decided:.0f}",
        "" if rest is None else f"; at rest {max(0.0, now.wall_s - rest):.1f} s ago")
    text, style = _trouble(now, place)
    wrapped = textwrap.wrap(text, place.width, max_lines=2, placeholder=" ...")
    return [first, second, *(line(Span(one, style)) for one in wrapped),
            *[line()] * (2 - len(wrapped))]


def _trouble(now: Frame, place: Place) -> tuple[str, Style]:
    """What is worst: the source, a divergence, an unknown, a warning."""
    if place.note:
        return place.note, "bad"
    if now.divergences:
        return now.divergences[0], "bad"
    broken = [(rule, count) for (rule,) in now.labels("cmaobs_model_divergences_total")
              if (count := now.number("cmaobs_model_divergences_total", rule))]
    if broken:
        return "broken rules: " + ", ".join(f"{rule} {count:.0f} times"
                                            for rule, count in broken), "bad"
    if now.reasons:
        why = "unknown because" if now.outcome == "unknown" else "not all is known:"
        return f"{why} {now.reasons[0]}", "warn"
    return (f"warning: {now.warnings[0]}", "warn") if now.warnings else ("", "")


def _table(found: list[AreaFigures], chosen: AreaFigures | None, choice: Choice, width: int,
           rows: int | None) -> list[Line]:
    wide = width >= 100
    body: list[Line] = [line(Span(
        f"{_HEAD + ('  P99' if wide else ''):<{width}}", "head"))]
    shown = found if rows is None else _window(found, chosen, max(1, rows // 2))
    for one in shown:
        style: Style = "select" if one is chosen else ""
        use = f"{grid.share(one.use):>5}"
        body.append([
            *line(Span(f"{one.name[:12]:<12}", style), f"{grid.count(one.pages):>7} "),
            *grid.bar(one.use, 14, more=(one.deferred or 0) / one.pages if one.pages else 0),
            *line(use, f"{grid.count(one.deferred):>6}", f"{grid.share(one.fragmentation):>6}",
                  f"{grid.share(one.hit_share):>6}", f"{grid.count(one.allocs_per_s):>8}",
                  f"{grid.count(one.releases_per_s):>8}",
                  Span(f"{grid.count(one.failed):>7}", "bad" if one.failed else "")),
            *(line("  " + grid.bounds(one.p99)) if wide else [])])
    hidden = len(found) - len(shown)
    if hidden:
        body.append(line(Span(f"{hidden} more areas: Up, Down", "dim")))
    if not found:
        body.append(line(f"no area has {choice.pattern!r} in its name; Esc shows all"
                         if choice.pattern else "the kernel has no CMA area"))
    return body


def _window(found: list[AreaFigures], chosen: AreaFigures | None,
            rows: int) -> list[AreaFigures]:
    """So many of them, the chosen one included."""
    place = found.index(chosen) if chosen in found else 0
    first = min(max(0, place - rows + 1), max(0, len(found) - rows))
    return found[first:first + rows]


def _failures(now: Frame, place: Place) -> list[Line]:
    """One by one; of a source that has only their number, by cause."""
    if now.failures:
        return [line(), line(Span("latest failures", "bold")), *(
            line(f"{grid.clock(one.wall_s, place.zone)} {one.area[:12]:<12} {one.pages:>7} pages  "
                 f"{one.errno:<7} {one.cause:<11} {one.comm}[{one.pid}]  "
                 f"{grid.duration(one.duration_s)}")
            for one in reversed(now.failures))]
    counted = [f"{one.name[:12]:<12}  " + ", ".join(f"{cause} {count:.0f}"
                                                    for cause, count in one.causes)
               for one in figures.areas(now, None) if one.causes]
    if not counted:
        return []
    return [line(), line(Span("failures by cause, since the start", "bold")), *map(line, counted)]


def _foot(timeline: Timeline, choice: Choice, place: Place) -> list[Line]:
    """Keys, and the slider where the latest is not followed or nothing new comes."""
    if place.height is None:
        return []
    if choice.typing is not None:
        keys = line(f"areas with: {choice.typing}_   Enter takes it, Esc leaves it")
    else:
        state = "since the start" if choice.total else "interval"
        pattern = f", only {choice.pattern!r}" if choice.pattern else ""
        if choice.whole:
            parts = " ".join(f"[{part}]" if part == choice.part else part for part in PARTS)
            keys = line(Span("? help  q quit  Enter back  v ", "dim"), f"{parts}; {state}")
        else:
            keys = line(Span(f"{'? help  q quit  Enter in full  s sort':<37}", "dim"),
                        f"  by {choice.sort}{', reversed' if choice.reverse else ''}; "
                        f"{state}{pattern}")
    if not len(timeline) or (place.live and choice.at_s is None):
        return [keys]
    first, last = timeline.span
    at = last if choice.at_s is None else choice.at_s
    what = ("playing" if choice.playing else "paused" if choice.at_s is not None
            else "at the end" if place.ended else "still reading")
    text = f" {max(0.0, at - first):.1f} of {last - first:.1f} s, {what}"
    inner = max(1, place.width - len(text) - 2)
    column = min(inner - 1, int((at - first) / (last - first) * inner)) if last > first else 0
    slider = line("[", Span("-" * column, "dim"), Span("|", "bold"),
                  Span("-" * (inner - column - 1), "dim"), "]", text)
    return [slider, keys]
