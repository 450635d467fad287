# SPDX-License-Identifier: GPL-2.0
"""Becoming an ordinary user, in a process of its own; and reading on what was opened before."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from cmaobs.cli import main
from cmaobs.errors import UsageError
from cmaobs.kernel import held, privileges

NAME = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
DROP = """
import sys, threading
from pathlib import Path
from cmaobs.errors import CmaobsError
from cmaobs.kernel import privileges
{before}
try:
    kept = privileges.drop({name!r}, lambda: True)
except CmaobsError as error:
    sys.exit(error.message)
assert kept == ()
later = []
thread = threading.Thread(target=lambda: later.append(
    Path("/proc/thread-self/status").read_text()))
thread.start(); thread.join()
print(Path("/proc/self/status").read_text() + later[0])
"""


def run(name: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", DROP.format(name=name, before=before)],
                          capture_output=True, text=True)


def test_nothing_is_left_and_threads_that_follow_have_nothing() -> None:
    done = run(NAME)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb", *(
            ("CapBnd",) if os.geteuid() == 0 else ())):
        assert [line for line in lines if line.startswith(name)] == [f"{name}:\t{0:016x}"] * 2
    uid = pwd.getpwnam(NAME).pw_uid
    assert lines.count("Uid:\t" + "\t".join([str(uid)] * 4)) == 2
    assert lines.count("NoNewPrivs:\t1") == 2


def test_a_thread_that_was_there_before_is_not_overlooked() -> None:
    done = run(NAME, "wait = threading.Event()\n"
                     "threading.Thread(target=wait.wait, daemon=True).start()")
    assert done.returncode == 1
    assert "has kept privileges" in done.stderr


@pytest.mark.parametrize(("name", "message"), [
    ("no-such-user", "there is no user 'no-such-user'"), ("root", "root is root"),
    ("a\0b", "there is no user")])
def test_a_user_that_will_not_do_is_told_before_anything_is_compiled(
        capsys: pytest.CaptureFixture[str], name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        privileges.user(name)
    if "\0" not in name:
        assert main(["serve", "--user", name, "--listen", "127.0.0.1:0"]) == 2
        assert capsys.readouterr().err.startswith(f"error: --user: {message}")


def test_what_only_root_may_see_is_refused_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--user", "nobody", "--buffers", "10s"]) == 2
    assert "error: --buffers looks into all processes, which nobody may not" in \
        capsys.readouterr().err


def test_a_held_file_is_read_again_though_it_can_no_longer_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("one")
    try:
        assert held.hold(path) == ""
        path.unlink()
        for _ in range(2):
            with open(held.opened(path)) as file:
                assert file.read() == "one"
    finally:
        held.release()
    with pytest.raises(FileNotFoundError):
        held.opened(path)
    assert held.hold(path) == f"{path}: No such file or directory"
