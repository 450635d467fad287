# SPDX-License-Identifier: GPL-2.0
"""Record what the running kernel does, for replay anywhere.

Needs root. The file holds every operation and a reading of the areas every --interval; what is
there can be replayed even if the recording was killed or the machine crashed.
"""

from __future__ import annotations

import argparse
import json

from cmaobs import config
from cmaobs.commands import running
from cmaobs.errors import UsageError
from cmaobs.observe import Observer

EXAMPLES = """examples:
  cmaobs record -o run.cmarec                      until Ctrl-C
  cmaobs record -o run.cmarec --duration 1m --max-size 64M
  cmaobs replay run.cmarec
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("-o", "--output", metavar="FILE", dest="record",
                        help="the file to write; it may be a recording, which is overwritten")
    config.add_flags(parser, (*running.LIVE, "max-size"))
    running.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0."""
    settings = config.settings(args, stacks=True)
    if settings.record is None:
        raise UsageError("no file to record to", "give one with -o FILE")
    with running.Stop(settings.duration) as stop:
        source = running.open_live(settings)
        try:
            with running.recording(settings, settings.record, source) as writer:
                observer = Observer(source, writer=writer)
                running.say(f"recording to {settings.record}; Ctrl-C ends it")
                stop.begin()
                for _ in observer.steps(lambda: stop() or writer.full):
                    pass
        finally:
            source.close()
    reading = observer.view.reading
    data = {"file": settings.record, "bytes": writer.bytes_written, **writer.totals,
            "ended_by_max_size": writer.full,
            "losses": dict(reading.losses.counts) if reading else {}}
    print(json.dumps(data) if args.json else _text(data))
    return 0


def _text(data: dict[str, object]) -> str:
    full = "; it reached --max-size" if data["ended_by_max_size"] else ""
    assert isinstance(data["losses"], dict)
    lost = ", ".join(f"{kind} {count}" for kind, count in data["losses"].items() if count)
    return (f"{data['file']}: {data['records']} records and {data['readings']} readings in "
            f"{data['bytes']} bytes{full}; lost: {lost or 'nothing'}")
