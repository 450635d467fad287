# SPDX-License-Identifier: GPL-2.0
"""serve, check, record and snapshot on a source that plays a history; all else is real."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from golden.cli import environment, run

_PATIENCE_S = 300
# Of a --duration nothing is over until the history is.
_PLAYED = """
import sys, time
from golden import histories, samples
from golden.samples import ListSource
from cmaobs.cli import main
from cmaobs.commands import running

class Clock:
    begun = None

    def monotonic():
        return 0.0 if Clock.begun is None else time.monotonic() - Clock.begun

running.time = Clock

class Played(ListSource):
    def steps(self):
        yield from super().steps()
        Clock.begun = time.monotonic()
        while True:
            time.sleep(0.02)
            yield samples.batch(watermark=1)

running.open_live = lambda settings, probes=True: Played(*histories.{history}())
sys.exit(main())
"""


def _played(history: str, *args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PLAYED.format(history=history), *map(str, args)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("history", "status"), [("lawful", 0), ("unlawful", 1)])
def test_check_ends_after_its_duration_with_the_verdict(history: str, status: int) -> None:
    with _played(history, "check", "--duration", "0.3", "--json") as process:
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == status
    assert json.loads(out)["verdict"]["outcome"] == ("diverge" if status else "agree")


def test_check_names_the_evidence_it_kept(tmp_path: Path) -> None:
    with _played("unlawful", "check", "--duration", "0.3", "--evidence", tmp_path / "new",
                 "--evidence-files", "2", "--policy", "rfc") as process:
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 1
    file, = (tmp_path / "new").iterdir()
    assert f"\n  evidence  {file}\n" in out
    assert run("replay", file).returncode == run("explain", file).returncode == 1


def test_evidence_that_cannot_be_kept_is_an_error_before_attaching() -> None:
    with _played("unlawful", "serve", "--evidence", "/proc/none", "--listen",
                 "127.0.0.1:0") as process:
        out, err = process.communicate(timeout=_PATIENCE_S)
    assert (process.returncode, out) == (2, "")
    message, remedy = err.splitlines()
    assert message.startswith("error: cannot keep evidence in /proc/none: ")
    assert "--evidence" in remedy


def test_a_full_disk_ends_the_recording_and_not_the_exporter(tmp_path: Path) -> None:
    """A file size limit stands in for the disk; tests/faults has a real one."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n" + _PLAYED
    with subprocess.Popen(
            [sys.executable, "-c", limited.format(history="lawful"), "serve", "--listen",
             "127.0.0.1:0", "--record", tmp_path / "a"], env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        match = re.match(r"serving (http://127\.0\.0\.1:\d+)/metrics", process.stderr.readline())
        assert match
        for line in process.stderr:
            if "the recording has ended: cannot write" in line:
                break
        deadline = time.monotonic() + _PATIENCE_S
        text = ""
        while "cmaobs_warnings 1.0\n" not in text:
            assert time.monotonic() < deadline
            with urllib.request.urlopen(f"{match[1]}/metrics", timeout=_PATIENCE_S) as answer:
                text = answer.read().decode()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    assert "warning: recording: cannot write" in out
    assert "no end marker" in run("replay", tmp_path / "a").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_ends_in_order_at_a_signal(
        tmp_path: Path, number: signal.Signals) -> None:
    with _played("lawful", "serve", "--listen", "127.0.0.1:0", "--status", "100ms",
                 "--record", tmp_path / "a") as process:
        assert process.stderr
        match = re.match(r"serving (http://127\.0\.0\.1:\d+)/metrics", process.stderr.readline())
        assert match
        assert process.stderr.readline().startswith("attached")
        # The first lines may be of a part of the history.
        whole = ("hits 4 (80.0% of granted), misses 0 | contig 1, failed 0", "agree")
        deadline = time.monotonic() + _PATIENCE_S
        while not all(part in (line := process.stderr.readline()) for part in whole):
            assert line
            assert time.monotonic() < deadline, line
        with urllib.request.urlopen(f"{match[1]}/metrics", timeout=_PATIENCE_S) as answer:
            text = answer.read().decode()
        assert 'cma_alloc_total{area="reserved",path="defer_hit"} 4.0\n' in text
        assert "process_cpu_seconds_total" in text
        with urllib.request.urlopen(f"{match[1]}/readyz", timeout=_PATIENCE_S) as answer:
            assert answer.status == 200
        process.send_signal(number)
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    assert out.endswith("verdict: agree\n")
    assert "verdict: agree" in run("replay", tmp_path / "a").stdout


def test_record_says_what_it_wrote(tmp_path: Path) -> None:
    with _played("lawful", "record", "-o", tmp_path / "a", "--duration", "0.2") as process:
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    assert out == (f"{tmp_path / 'a'}: 11 records and 6 readings in "
                   f"{(tmp_path / 'a').stat().st_size} bytes; lost: nothing\n")
    assert run("replay", tmp_path / "a").returncode == 0


def test_a_recording_that_was_killed_can_be_replayed(tmp_path: Path) -> None:
    with _played("lawful", "record", "-o", tmp_path / "a") as process:
        deadline = time.monotonic() + _PATIENCE_S
        while "11 in 6 readings" not in run("replay", tmp_path / "a").stdout:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
    done = run("replay", tmp_path / "a")
    assert "no end marker" in done.stdout
    assert "11 in 6 readings" in done.stdout
    assert done.returncode == 0


def test_snapshot_prints_the_first_reading_and_ends() -> None:
    with _played("lawful", "snapshot", "--json") as process:
        out, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    assert json.loads(out)["areas"][0]["free_pages"] == 16384
