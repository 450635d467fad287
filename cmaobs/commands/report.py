# SPDX-License-Identifier: GPL-2.0
"""Write a report of recordings: a page with plots, and a CSV of every number.

Of a manifest of `make report`, which compares the same load with deferred freeing off and on, run
by run; or of any recordings, each by itself. Needs no privileges. Quantiles are ranges: the
true value lies in them. Over repeated runs there are intervals as well, and how certain they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cmaobs import config
from cmaobs.commands import running
from cmaobs.commands.progress import Progress
from cmaobs.errors import CmaobsError, RecordingWriteError, UsageError
from cmaobs.export.flow import Flow
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.study import manifest, page
from cmaobs.study.alone import Measured
from cmaobs.study.measure import Measuring

EXAMPLES = """examples:
  cmaobs report run.cmarec -o report              report/report.html and report/report.csv
  cmaobs report monday.cmarec tuesday.cmarec -o report
  cmaobs report build/report/runs/manifest.json -o report
"""
HTML, CSV = "report.html", "report.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("files", metavar="FILE", nargs="+",
                        help="recordings, or one manifest of runs (.json)")
    parser.add_argument("-o", "--output", metavar="DIR", required=True,
                        help=f"the directory for {HTML} and {CSV}; made if it is missing; an "
                        "earlier report there is overwritten")
    config.add_policy(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0."""
    directory = Path(args.output)
    _check(directory)
    made = manifest.load(Path(args.files[0])) if args.files[0].endswith(".json") else None
    if made is not None:
        if len(args.files) > 1:
            raise UsageError("a manifest and other files", "report them one after the other")
        files = [(str(made.directory / one.recording), one.recording) for one in made.runs]
    else:
        files = [(path, path) for path in args.files]
    measured = list(_measured(files, args.policy))
    if made is None and not any(one.busy for one in measured):
        raise UsageError("there is no operation in " + ", ".join(one.name for one in measured),
                         "record while something allocates from CMA; see: cmaobs load --help")
    found = page.report(measured, made)
    _write(directory, {HTML: found.html, CSV: found.csv})
    running.say(f"{directory / HTML}, {CSV}: {found.rows} numbers; recordings: {len(measured)}")
    return 0


def _measured(files: Sequence[tuple[str, str]], policy: str | None) -> Iterator[Measured]:
    with Progress("reading") as progress:
        for place, (path, name) in enumerate(files):
            def shown(share: float, place: int = place) -> None:
                progress((place + share) / len(files))

            yield measure(path, name, policy, shown)


def measure(path: str, name: str, policy: str | None = None,
            progress: Callable[[float], None] = lambda _: None) -> Measured:
    """Go through a recording, called by a name. Raises RecordingError: none, or damaged."""
    source = RecordingSource(path)
    try:
        observer = Observer(source, running.checker(source, policy))
        found = Measuring(source.areas)
        flow = Flow(source.areas, found)
        for step in observer.steps():
            flow.add(step)
            progress(source.share)
        flow.end(observer.view)
    finally:
        source.close()
    for warning in observer.view.warnings:
        running.say(f"warning: {warning}")
    return Measured(name, observer.view, found, observer.view.warnings)


def _check(directory: Path) -> None:
    """Refuse at once what could only be refused after a long time."""
    path = directory / HTML
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(page.HEAD):
            raise UsageError(f"cannot write {path}: it exists and is no report of cmaobs",
                             "name another directory, or remove it first")
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(directory, error) from error


def _write(directory: Path, texts: dict[str, str]) -> None:
    """Each file has its name once it is whole."""
    for name, text in texts.items():
        part = directory / f"{name}.part"
        try:
            part.write_text(text)
            part.replace(directory / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _failed(directory / name, error) from error


def _failed(path: Path, error: OSError) -> CmaobsError:
    return RecordingWriteError(f"cannot write {path}: {error.strerror}",
                               "name a directory that you may write to, and make room")
