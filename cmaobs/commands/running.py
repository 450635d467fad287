# SPDX-License-Identifier: GPL-2.0
"""What the commands that observe share: a live source, when to stop, what to print."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from cmaobs import policies, report
from cmaobs.config import Settings
from cmaobs.crosscheck import Checker
from cmaobs.errors import RecordingWriteError, UsageError
from cmaobs.evidence import Keeper, Store
from cmaobs.observe import Observer
from cmaobs.recording import RecordingWriter
from cmaobs.source import Batch, Source
from cmaobs.state import Reading
from cmaobs.takers import Records
from cmaobs.verdict import Outcome
from cmaobs.view import View

LIVE = ("attach", "interval", "duration", "ring-pages", "root", "stacks", "buffers",
        "lent", "phases")
JUDGED = ("policy", "callers", "evidence", "evidence-files", "evidence-bytes")


def open_live(settings: Settings, probes: bool = True) -> Source:
    """The running kernel; raises KernelError and its kinds."""
    from cmaobs.kernel.session import Options, open_session
    return open_session(Options(root=settings.root, attach=settings.attach, probes=probes,
                                reading_s=settings.interval, ring_pages=settings.ring_pages,
                                stacks=settings.stacks, buffers_s=settings.buffers,
                                lent_s=settings.lent, phases=settings.phases,
                                max_rate=settings.max_rate))


def drop_privileges(source: Source, user: str) -> None:
    """Go on as that user, for good; says what is less for it.

    Raises UsageError or PrivilegeError.
    """
    from cmaobs.kernel.session import Session
    assert isinstance(source, Session)
    for line in source.drop_privileges(user):
        say(f"as {user}: {line}")


def checker(source: Source, policy: str | None = None) -> Checker:
    """The cross-check of a run, live or recorded, by what its source says of the kernel.

    policy: its name; None is the source's own, or the one that fits its kernel. A source that was
    cut says what of its beginning cannot be judged, and when the live run had settled.
    """
    said = source.identity
    fits = "plain" if said.get("patched") == "no" else "rfc"
    try:
        chosen = policies.parse(policy or said.get("policy", fits))
    except ValueError as error:
        raise UsageError(f"the recording's policy {said.get('policy', '')[:60]!r}: {error}",
                         "give one with --policy") from error
    found = Checker(source.areas, policy=chosen, batch_probed=said.get("batch_probed") != "no",
                    settled_ns=_ns(said, "settled_ns"), attached_ns=_ns(said, "attached_ns") or 0,
                    policy_probed={"yes": True, "no": False}.get(said.get("policy_probed", "")))
    blind_ns = _ns(said, "blind_ns")
    if blind_ns is not None:
        found.gap("the recording begins while operations are in flight", blind_ns)
    return found


def _ns(identity: Mapping[str, str], key: str) -> int | None:
    text = identity.get(key, "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def store(settings: Settings) -> Store | None:
    """Where --evidence goes, None without it; raises RecordingWriteError where it cannot be.

    To be asked for before attaching, which takes long.
    """
    if settings.evidence is None:
        return None
    return Store(settings.evidence, settings.evidence_files, settings.evidence_bytes)


def observed(settings: Settings, source: Source, writer: Records | None,
             store: Store | None) -> Observer:
    """An observer of a live source, with the cross-check, and what keeps evidence in the store."""
    check = checker(source, settings.policy)
    keeper = None
    if store is not None:
        keeper = Keeper(store, check, checker, identity(settings, source), source.areas)
    return Observer(source, check, writer, keeper, settings.callers)


def identity(settings: Settings, source: Source) -> Mapping[str, str]:
    """What a recording says of the source, and the policy that was asked for."""
    return ({**source.identity, "policy": settings.policy} if settings.policy
            else source.identity)


class Beside:
    """A recording beside something else, which a full disk does not end.

    warnings: why it has ended, once it has; what is on disk then ends with a whole chunk.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self.warnings: tuple[str, ...] = ()

    def add(self, step: Batch | Reading) -> None:
        """A step, unless it has ended."""
        self._try(lambda: self._writer.add(step))

    def close(self, reason: str) -> None:
        """Write what was held back."""
        self._try(lambda: self._writer.close(reason))

    def _try(self, write: Callable[[], None]) -> None:
        if self.warnings:
            return
        try:
            write()
        except RecordingWriteError as error:
            self.warnings = (f"recording: {error.message}",)
            say(f"the recording has ended: {error.message}; {error.remedy}")


@contextlib.contextmanager
def tee(settings: Settings, source: Source) -> Iterator[Beside | None]:
    """The recording of --record, closed at the end; None without it."""
    if settings.record is None:
        yield None
        return
    beside = Beside(recording(settings, settings.record, source))
    try:
        yield beside
    except BaseException:
        beside.close("failed")
        raise
    beside.close("closed")


def recording(settings: Settings, path: str, source: Source) -> RecordingWriter:
    """A writer for what comes from the source; raises RecordingWriteError."""
    return RecordingWriter(path, identity(settings, source), source.areas, settings.max_size)


class Stop:
    """Says when a run is over: after its duration, or at SIGINT or SIGTERM.

    The first signal ends the run in order; the second is KeyboardInterrupt.
    """

    def __init__(self, duration_s: float | None) -> None:
        self._duration_s = duration_s
        self._deadline = float("inf")
        self._signalled = False

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._signal)
                        for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def begin(self) -> None:
        """The duration counts from here."""
        if self._duration_s is not None:
            self._deadline = time.monotonic() + self._duration_s

    def __call__(self) -> bool:
        """Whether it is over."""
        return self._signalled or time.monotonic() >= self._deadline

    def _signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True


def say(line: str) -> None:
    """Progress, to standard error: standard output is for the report."""
    print(line, file=sys.stderr, flush=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The flag of all commands that report."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def print_summary(view: View, as_json: bool) -> None:
    """The report, to standard output."""
    data = report.summary(view)
    print(json.dumps(data, indent=1) if as_json else report.draw_summary(data),
          end="\n" if as_json else "", flush=True)


def exit_status(view: View) -> int:
    """The verdict as an exit status; without one, unknown."""
    return (view.verdict.outcome if view.verdict else Outcome.UNKNOWN).value
