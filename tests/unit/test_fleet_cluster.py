# SPDX-License-Identifier: GPL-2.0
"""`cmaobs fleet --scheduler`, with a real Dask scheduler and real workers on this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from golden import histories, recordings
from golden.cli import environment, run
from golden.demands import DEMO
from reference.dask import Dask

# Ends the process that it runs in the first time that it is asked, in the middle of the demand.
DEADLY = """
import os, signal
from pathlib import Path
from cmaobs.whatif.rules import Rules
class Mine(Rules):
    asked = 0
    def defers(self, state, pfn, pages):
        Mine.asked += 1
        if Mine.asked == 3:
            try:
                Path({marker!r}).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().defers(state, pfn, pages)
"""
ALWAYS = """
import os, signal
from cmaobs.whatif.rules import Rules
class Mine(Rules):
    def defers(self, state, pfn, pages):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four recordings of one device."""
    directory = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        steps = histories.lossy() if number == 3 else histories.lawful()
        recordings.write(directory / f"run {number}.cmarec", steps)
    return sorted(directory.iterdir())


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    with Dask(tmp_path_factory.mktemp("dask")) as dask:
        for _ in range(2):
            dask.worker()
        dask.ready()
        yield dask


def files(directory: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*") if path.is_file()}


def error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    line, remedy = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert remedy
    return line


def test_the_same_bytes_and_answers_as_here(dask: Dask, small: list[Path], tmp_path: Path) -> None:
    told = []
    for name, more in (("here", ()), ("there", ("--scheduler", dask.address))):
        for device, some in (("a-1", small), ("b-2", [DEMO])):
            done = run("fleet", tmp_path / name, "--device", device, "--add", *some, "--json",
                       *more)
            assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    here, there = (files(tmp_path / name) for name in ("here", "there"))
    assert len(here) == 5 * 3
    assert there == here
    assert told[0] == told[1]
    done = run("fleet", tmp_path / "here", "--scheduler", dask.address, "--json")
    assert done.stdout == told[0]


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
        small: list[Path], tmp_path: Path) -> None:
    marker, mine = tmp_path / "killed", tmp_path / "mine.py"
    mine.write_text(DEADLY.format(marker=str(marker)))
    arguments = ("--device", "a-1", "--add", *small, "--policy", f"{mine}:Mine")
    (tmp_path / "dask").mkdir()
    with Dask(tmp_path / "dask") as dask:
        workers = [dask.worker() for _ in range(2)]
        dask.ready()
        done = run("fleet", tmp_path / "there", *arguments, "--scheduler", dask.address)
        assert done.returncode == 0, done.stderr
        assert sorted(str(worker.poll()) for worker in workers) == [str(-signal.SIGKILL), "None"]
    assert marker.exists()
    here = run("fleet", tmp_path / "here", *arguments)
    assert here.returncode == 0, here.stderr
    assert done.stdout == here.stdout
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(files(tmp_path / "here")) == 4 * 3


def test_a_task_that_ends_every_worker(small: list[Path], tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(ALWAYS)
    (tmp_path / "dask").mkdir()
    with Dask(tmp_path / "dask") as dask:
        for _ in range(4):
            dask.worker()
        dask.ready()
        done = run("fleet", tmp_path / "out", "--device", "a", "--add", small[0], "--policy",
                   f"{mine}:Mine", "--scheduler", dask.address)
    assert "a task ended 4 workers of tcp://" in error(done)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_else_listens(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.settimeout(300)
        done = threading.Event()

        def serve() -> None:
            with server.accept()[0] as taken:
                taken.sendall(answer)
                done.wait()
        thread = threading.Thread(target=serve)
        thread.start()
        line = error(run("fleet", tmp_path, "--scheduler", address))
        done.set()
        thread.join()
    assert f"no Dask scheduler answers at {address}" in line


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere://x:1"])
def test_an_address_that_does_not_answer(tmp_path: Path, address: str) -> None:
    assert f"no Dask scheduler answers at {address}" in error(
        run("fleet", tmp_path, "--scheduler", address))


def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    with Dask(tmp_path) as dask:
        assert f"the scheduler at {dask.address} has no workers" in error(
            run("fleet", tmp_path, "--scheduler", dask.address))


@pytest.mark.parametrize(("preload", "said"), [
    ("import cmaobs\ncmaobs.__version__ = '0.0.1'\n", "has cmaobs 0.0.1, this machine "),
    ("import sys\nsys.modules['duckdb'] = None\n", "there is no duckdb"),
    ("import sys\nsys.modules['cmaobs'] = None\n", "cmaobs"),
])
def test_workers_of_another_version(tmp_path: Path, preload: str, said: str) -> None:
    (tmp_path / "preload.py").write_text(preload)
    with Dask(tmp_path) as dask:
        dask.worker("--preload", tmp_path / "preload.py")
        dask.ready()
        line = error(run("fleet", tmp_path, "--scheduler", dask.address))
    assert "worker tcp://127.0.0.1" in line
    assert said in line


def test_no_distributed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['distributed'] = None\n"
         "from cmaobs.cli import main; sys.exit(main())", "fleet", str(tmp_path),
         "--scheduler", "tcp://127.0.0.1:1"],
        env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert "there is no dask.distributed" in error(done)
    assert "pip install 'cmaobs[dask]'" in done.stderr


def test_errors_of_a_worker_say_which(dask: Dask, small: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "outcomes/device=a/day=2026-01-01/x.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("nothing")
    line = error(run("fleet", tmp_path, "--scheduler", dask.address))
    assert "worker tcp://127.0.0.1" in line
    assert "x.parquet" in line
    assert "workers run elsewhere" in error(
        run("fleet", tmp_path, "--device", "a", "--add", small[0], "--policy", "mine.py:Mine",
            "--scheduler", dask.address))
