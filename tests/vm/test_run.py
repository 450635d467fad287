# SPDX-License-Identifier: GPL-2.0
"""deploy/vm/run, from the host: what a caller can rely on.

A boot takes about five seconds under emulation, so the guests are few, and one of them answers
most of the questions.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from reference.guests import PATIENCE_S, gone, guest_of, guests_of
from reference.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RUN = [ROOT / "deploy" / "vm" / "run", "--boot-timeout", str(PATIENCE_S)]

pytestmark = pytest.mark.vm

ASK = """
import json, os, sys
mounts = {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}
with open("answer.json", "w") as out:
    json.dump({
        "argv": sys.argv[1:],
        "cwd": os.getcwd(),
        "uid": os.getuid(),
        "path": os.environ["PATH"],
        "seen": os.environ.get("CMAOBS_TEST_SEEN"),
        "unseen": os.environ.get("UNRELATED"),
        "mounts": mounts,
        "cmdline": open("/proc/cmdline").read().split(),
        "cpus": os.cpu_count(),
        "clock": open("/sys/devices/system/clocksource/clocksource0/current_clocksource").read(),
    }, out)
open("/etc/written-in-the-guest", "w").close()
open(os.path.join(os.environ["CMAOBS_OBJECTS"], "kept"), "w").close()
print("to stdout", flush=True)
print("to stderr", file=sys.stderr)
os.system("echo reopened > /dev/stdout")
sys.exit(37)
"""


@pytest.fixture(scope="module")
def kernel() -> str:
    image = os.environ.get("CMAOBS_KERNEL")
    assert image, "set CMAOBS_KERNEL to a kernel image: deploy/kernel/build prints one"
    return image


def vm(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *args],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.usefixtures("kernel")
def test_a_command_sees_what_it_was_promised(tmp_path: Path) -> None:
    here = tmp_path / "a directory"
    here.mkdir()
    (here / "ask.py").write_text(ASK)
    words = ["two words", "", "'quoted\" $HOME", "--", "x" * 3000]
    done = vm(
        "--append", "cma_defer_batch=48 cmaobs.probe=1", "--cpus", "3",
        "--timeout", str(PATIENCE_S), "--", "python3", "ask.py", *words,
        cwd=here, CMAOBS_TEST_SEEN="yes", UNRELATED="no", XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 37, done.stderr
    assert done.stdout.splitlines() == ["to stdout", "reopened"]
    lines = done.stderr.splitlines()
    assert lines[0].startswith("device: ")
    assert lines[1:] == ["to stderr"]
    answer = json.loads((here / "answer.json").read_text())
    assert answer["argv"] == words
    assert answer["cwd"] == str(here)
    assert answer["uid"] == 0
    assert answer["cpus"] == 3
    assert (answer["seen"], answer["unseen"]) == ("yes", None)
    assert {"cma_defer_batch=48", "cmaobs.probe=1", "cma=64M"} <= set(answer["cmdline"])
    assert answer["mounts"]["/tmp"] == "tmpfs"
    assert answer["mounts"]["/sys/kernel/debug"] == "debugfs"
    assert answer["mounts"]["/sys/kernel/tracing"] == "tracefs"
    assert answer["mounts"]["/sys/fs/bpf"] == "bpf"
    assert answer["mounts"][str(ROOT)] == "9p"
    assert "jiffies" not in answer["clock"]
    if (ROOT / ".venv").is_dir():
        assert answer["path"].startswith(f"{ROOT}/.venv/bin:")
    assert not Path("/etc/written-in-the-guest").exists()
    kept = tmp_path / "cache/cmaobs/objects"
    assert (kept / "kept").exists()
    assert kept.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("kernel")
def test_a_panic_is_not_a_failed_command(tmp_path: Path) -> None:
    done = vm("--", "sh", "-c", "echo c > /proc/sysrq-trigger", cwd=tmp_path)
    assert done.returncode == 125
    assert "device: error: the guest panicked: sysrq triggered crash" in done.stderr
    assert re.search(r"^    .*Kernel panic - not syncing", done.stderr, re.M), done.stderr


@pytest.mark.usefixtures("kernel")
def test_a_guest_that_does_not_finish(tmp_path: Path) -> None:
    """Its time begins with it, not with what is done before."""
    with subprocess.Popen([*RUN, "--timeout", "9", "--", "sleep", "3000"], cwd=tmp_path,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        guest_of(process)
        begin = time.monotonic()
        _, said = process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - begin
    assert process.returncode == 124
    assert "did not finish within 9 s" in said
    assert took < 60, "as long as no other of its deadlines"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(kernel: str, port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A guest with a web server, and for a while a second guest beside it."""
    assert kernel
    (tmp_path / "page").write_text("from the guest\n")
    serve = "trap 'echo told; exit 5' TERM; python3 -m http.server 9759 & wait"
    with subprocess.Popen(
        [*RUN, "--quiet", "--forward", str(port), "--", "bash", "-c", serve],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def fetch(port: int) -> str:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=60) as page:
                return str(page.read().decode())
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, "no answer from the guest"
            time.sleep(0.5)


def test_forward_a_second_guest_and_sigterm(
    server: subprocess.Popen[str], port: int, tmp_path: Path
) -> None:
    second = vm("--quiet", "--", "sh", "-c", "exit 3", cwd=tmp_path)
    assert (second.returncode, second.stderr) == (3, "")
    assert fetch(port) == "from the guest\n"
    taken = vm("--forward", str(port), "--", "true", cwd=tmp_path)
    assert taken.returncode == 2
    assert "Address already in use" in taken.stderr
    qemu = guests_of(server.pid)
    assert len(qemu) == 1
    server.send_signal(signal.SIGTERM)
    out, _ = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 5, "the command handles SIGTERM and chooses the status"
    assert out == "told\n"
    assert gone(qemu[0])


@pytest.mark.usefixtures("kernel")
def test_nothing_is_left_when_the_runner_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*RUN, "--", "sleep", "3000"], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as process:
        qemu = guest_of(process)
        process.kill()
    assert gone(qemu)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--kernel", "no/such/image", "--", "true"], "no/such/image: no such kernel image"),
        (["--kernel", "ask.py", "--", "true"], "ask.py: not a kernel image of x86 or arm64"),
        (["--memory", "lots", "--", "true"], "--memory lots: not a size"),
        (["--cpus", "0", "--", "true"], "--cpus: invalid number of CPUs value: '0'"),
        (["--forward", "99999", "--", "true"], "--forward 99999: not a port"),
        (["--append", "x" * 3000, "--", "true"], "the kernel command line has"),
        (["--wrong", "--", "true"], "unrecognized arguments: --wrong"),
        (["true"], "unrecognized arguments: true"),
        ([], "no command to run"),
    ],
)
@pytest.mark.usefixtures("kernel")
def test_what_cannot_be_is_one_line_and_a_remedy(
    args: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "ask.py").write_text(ASK)
    done = vm("--accel", "tcg", "--quiet", *args, cwd=tmp_path)
    assert done.returncode == 2
    error, remedy = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert remedy.startswith("  remedy: ")
    assert done.stdout == ""
