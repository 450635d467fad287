# SPDX-License-Identifier: GPL-2.0
"""What happens to a device happens to its observer: nothing is left behind or counted wrong."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.test_killed import kprobes, programs
from kernel.tools import AREA, CMAOBS, PATIENCE_S, WAYS, Area, Sample, Serve, cli, key_of, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.long]
DEBUGFS = "/sys/kernel/debug"
DAY_S = 86400.0
KILLS, AT_ONCE = 100, 4
STARTING_S, RUNNING_S = 20.0, 5.0  # within which they are killed


def allocations(scrape: dict[Sample, float]) -> float:
    """Granted in the area since the observer came."""
    return sum(scrape.get(key_of("cma_alloc_total", area=AREA, path=path), 0)
               for path in ("defer_hit", "contig"))


def exactly(area: Area, observer: Serve, count: int) -> None:
    """Make so many allocations, and find so many."""
    before = allocations(observer.settled())
    for _ in range(count):
        assert area.alloc(3)
    area.free(3 * count)
    after = observer.settled()
    assert allocations(after) - before == count
    assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
    assert after[key_of("cmaobs_counts_mismatched_total")] == 0


@pytest.fixture
def wrong_clock() -> Iterator[None]:
    """Sets the time of day right again, whatever a test made of it."""
    ahead = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    yield
    time.clock_settime(time.CLOCK_REALTIME, ahead + time.clock_gettime(time.CLOCK_MONOTONIC))


def test_the_time_of_day_jumps(area: Area, serve: Serve, wrong_clock: None) -> None:
    for jump_s in (DAY_S, -2 * DAY_S):
        time.clock_settime(time.CLOCK_REALTIME,
                           time.clock_gettime(time.CLOCK_REALTIME) + jump_s)
        exactly(area, serve, 5)
        said = serve.scrape()[key_of("cmaobs_last_reading_timestamp_seconds")]
        assert abs(said - time.clock_gettime(time.CLOCK_REALTIME)) < 120
        assert serve.get("/healthz") == "ok\n"


def test_debugfs_is_unmounted(area: Area, serve: Serve) -> None:
    serve.settled()
    subprocess.run(["umount", "--lazy", DEBUGFS], check=True)
    try:
        assert not os.listdir(DEBUGFS)
        serve.settled()
        out = cli("check", "--duration", "1s", status=None)
        assert re.search(r"^verdict: (agree|unknown)", out, re.MULTILINE), out
    finally:
        subprocess.run(["mount", "-t", "debugfs", "none", DEBUGFS], check=True)
    exactly(area, serve, 7)


def test_a_second_observer_at_once(area: Area, serve: Serve, tmp_path: Path) -> None:
    """Each counts all of it, and the one that ends takes nothing from the other."""
    with Serve(tmp_path) as second:
        before = [allocations(one.settled()) for one in (serve, second)]
        for _ in range(11):
            assert area.alloc(2)
        area.free(22)
        after = [allocations(one.settled()) for one in (serve, second)]
        assert [new - old for new, old in zip(after, before, strict=True)] == [11, 11]
        assert second.stop() in (0, 3), second.output()
    exactly(area, serve, 3)


def test_what_was_compiled_needs_no_compiler(area: Area, serve: Serve, tmp_path: Path) -> None:
    """A device without bcc can be given the cache of one that has it."""
    (tmp_path / "bcc.py").write_text("raise ImportError('there is no bcc here')\n")
    (tmp_path / "run").mkdir()
    with Serve(tmp_path / "run", "--attach", serve.attached(),
               environment={"PYTHONPATH": str(tmp_path)}) as one:
        assert one.scrape()[key_of("cmaobs_compile_duration_seconds")] == 0
        exactly(area, one, 2)
    denied = subprocess.run([*CMAOBS, "check", "--duration", "1s"], capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(tmp_path),
                                 "CMAOBS_OBJECTS": str(tmp_path / "empty")})
    assert denied.returncode == 2, "the compiler was there after all"
    assert "there is no bcc here" in denied.stderr or "bcc" in denied.stderr


def test_killed_at_any_moment(area: Area, tmp_path: Path) -> None:
    """Starting, attaching, serving beside others: nothing stays in the kernel, the next agrees."""
    held, probed = programs(), kprobes()
    rng, replayed = random.Random(20), 0
    busy = subprocess.Popen(
        [*CMAOBS, "load", "--source", "debugfs", "--threads", "2", "--duration", "3600",
         "--rate", "20", "--sizes", "1,16", "--lifetime", "0-20"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for number in range(0, KILLS, AT_ONCE):
            recordings = [tmp_path / f"{number + n}.cmarec" for n in range(AT_ONCE)]
            started = [subprocess.Popen(
                [*CMAOBS, "serve", "--listen", "127.0.0.1:0", "--attach", WAYS[n % len(WAYS)],
                 "--record", str(recording)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for n, recording in enumerate(recordings)]
            running = number // AT_ONCE % 2
            if running:
                wait_for(lambda found=recordings: all(one.exists() and one.stat().st_size
                                                      for one in found))
            moments = sorted(rng.uniform(0, RUNNING_S if running else STARTING_S) for _ in started)
            rng.shuffle(started)
            begun = time.monotonic()
            for one, moment in zip(started, moments, strict=True):
                time.sleep(max(0.0, begun + moment - time.monotonic()))
                one.send_signal(signal.SIGKILL)
                assert one.wait(PATIENCE_S) == -signal.SIGKILL
            wait_for(lambda: programs() == held and kprobes() == probed)
            for recording in recordings:
                if recording.exists() and recording.stat().st_size:
                    replayed += 1
                    assert "verdict: diverge" not in cli("replay", str(recording), status=None)
        assert KILLS * 2 // 5 < replayed < KILLS, "some before they recorded, some after"
    finally:
        busy.send_signal(signal.SIGTERM)
        busy.wait(PATIENCE_S)
    with Serve(tmp_path) as last:
        exactly(area, last, 5)
