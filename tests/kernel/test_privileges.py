# SPDX-License-Identifier: GPL-2.0
"""What an exporter is left with once it serves: nothing, and everything works all the same."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmaobs.recording import RecordingSource
from kernel import sandbox
from kernel.tools import AREA, CMAOBS, PATIENCE_S, Area, Serve, cli, key_of, load, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.long]
BPF_DISABLED = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
NOBODY = 65534
# A kernel address of x86-64 or arm64: hexadecimal, or as one number of a JSON or text file.
ADDRESS = re.compile(r"\bf{4}[0-9a-f]{12}\b|\b1844\d{16}\b|-\d{14,19}\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """One that an ordinary user gets to; pytest's own are root's."""
    with tempfile.TemporaryDirectory(dir="/run") as path:
        os.chmod(path, 0o755)
        inner = Path(path, "kept")
        inner.mkdir()
        os.chown(inner, NOBODY, NOBODY)
        yield inner


@pytest.fixture(scope="module")
def humble(patched: bool, directory: Path) -> Iterator[Serve]:
    """An exporter as nobody, where others may not use BPF, as most distributions have it."""
    before = BPF_DISABLED.read_text()
    BPF_DISABLED.write_text("2")
    try:
        with Serve(directory, "--user", "nobody", "--stacks", "--lent", "1s",
                   "--evidence", str(directory / "evidence")) as running:
            yield running
    finally:
        BPF_DISABLED.write_text(before)


def test_no_thread_has_a_privilege_and_everything_is_counted(area: Area, humble: Serve) -> None:
    tasks = list(Path(f"/proc/{humble.process.pid}/task").iterdir())
    assert len(tasks) >= 3, "main, ring and http"
    for task in tasks:
        status = dict(line.split(":\t", 1) for line in
                      (task / "status").read_text().splitlines() if ":\t" in line)
        assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
        assert set(status["Groups"].split()) <= {str(NOBODY)}
        assert status["NoNewPrivs"] == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, (task, name)

    before = humble.settled()
    for _ in range(7):
        assert area.alloc(5)
    area.free(35)
    after = humble.settled()
    grown = {path: after[key_of("cma_alloc_total", area=AREA, path=path)]
             - before[key_of("cma_alloc_total", area=AREA, path=path)]
             for path in ("contig", "defer_hit", "failed")
             if key_of("cma_alloc_total", area=AREA, path=path) in after}
    assert sum(grown.values()) == 7, grown
    wait_for(lambda: key_of("cma_lent_pages", area=AREA) in humble.scrape())


def test_no_answer_has_a_kernel_address(area: Area, humble: Serve) -> None:
    load("--source", "debugfs", "--operations", "20", "--rate", "0",
         "--seed", "1", "--sizes", "1,4")
    humble.settled()
    answers = {path: humble.get(path) for path in ("/metrics", "/view.json", "/summary.txt",
                                                   "/", "/healthz")}
    assert "cma_alloc" in answers["/view.json"], "no stacks are in it: nothing was looked for"
    for path, text in answers.items():
        assert not ADDRESS.findall(text), path
    shown = cli("snapshot", "--json")
    assert not ADDRESS.findall(shown)
    assert ADDRESS.search("ffffffff81000000")
    assert ADDRESS.search(str(0xffffffff81000000))


def test_its_recording_has_stacks_by_name_and_no_addresses(humble: Serve) -> None:
    assert humble.stop() in (0, 3), humble.output()
    assert "without privileges" in humble.output()
    assert "error" not in humble.output()
    source = RecordingSource(str(humble.recording))
    frames = [name for step in source.steps() for stack in getattr(step, "stacks", {}).values()
              for name in stack]
    assert any(name.startswith("cma_alloc") for name in frames)
    assert not [name for name in frames if ADDRESS.search(name)]
    assert not ADDRESS.findall(cli("replay", str(humble.recording), "--json", status=None))
    source.close()


def test_cap_bpf_is_kept_where_the_kernel_lets_nobody_else_read_maps() -> None:
    """Kernels before 5.19: here what cannot be used is made up, and what is kept is real."""
    code = ("from cmaobs.kernel import privileges; from pathlib import Path; "
            "print(privileges.drop('nobody', lambda: False)); "
            "print(Path('/proc/self/status').read_text())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("('CAP_BPF',)")
    assert f"CapEff:\t{1 << 39:016x}" in done.stdout
    assert f"CapPrm:\t{1 << 39:016x}" in done.stdout


def serves(area: Area, directory: Path, command: Callable[[int], list[str]], listen: str) -> str:
    """Run an exporter for five seconds, ask it, find it without capabilities; its status there."""
    log = directory / "served.log"
    with socket.create_server(("127.0.0.1", 0)) as listening, log.open("w") as output:
        task = subprocess.Popen(
            [*command(listening.fileno()), str(CMAOBS[0]), "serve", "--user", "nobody",
             "--listen", listen, "--duration", "5s"],
            stdout=output, stderr=output, pass_fds=(listening.fileno(),),
            env={**os.environ, "CMAOBS_OBJECTS": str(directory / "objects"), "HOME": "/"})
    try:
        wait_for(lambda: "Ctrl-C" in log.read_text() or task.poll() is not None)
        found = re.search(r"serving (http://\S+) as nobody, without privileges", log.read_text())
        assert found, log.read_text()
        status = Path(f"/proc/{task.pid}/status").read_text()
        assert re.findall(r"^Cap(?:Prm|Eff|Amb|Inh):\t(\w+)$", status, re.MULTILINE) == \
            ["0" * 16] * 4
        area.alloc(1)
        area.free(1)
        wait_for(lambda: b"cma_alloc_total" in urllib.request.urlopen(found[1],
                                                                      timeout=30).read())
        assert task.wait(PATIENCE_S) in (0, 3), log.read_text()
        assert "error" not in log.read_text()
    finally:
        task.kill()
        task.wait()
    return status


def test_it_runs_as_its_unit_has_it(area: Area, directory: Path) -> None:
    """Never root, three capabilities, no socket but the one that listens, its system calls only."""
    status = serves(area, directory, lambda fd: sandbox.command(fd, NOBODY), "fd:3")
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)


def test_it_runs_as_its_image_has_it(area: Area, tmp_path: Path) -> None:
    """Root with the capabilities that deploy/container names, and no others."""
    given = re.search(r"--cap-add=(\S+)", (sandbox.ROOT / "deploy/container/Containerfile")
                      .read_text())
    assert given
    caps = ",".join(f"+{name.lower()}" for name in given[1].split(","))
    status = serves(area, tmp_path, lambda _: ["setpriv", "--no-new-privs", "--inh-caps=-all",
                                               f"--bounding-set=-all,{caps}"], "127.0.0.1:0")
    assert re.search(r"^CapBnd:\t0{16}$", status, re.MULTILINE)
