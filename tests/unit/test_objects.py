# SPDX-License-Identifier: GPL-2.0
"""Compiled probes on disk: what is kept, what is trusted, and what is made again."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from cmaobs.errors import ProbeError
from cmaobs.kernel import compiler, objects
from cmaobs.kernel.objects import Cache, Instructions, Map, Objects

CODE = bytes.fromhex("1811000000000000" "0000000000000000" "9500000000000000")
ONE = Objects({"events": Map(27, 0, 0, 4096, 0)},
              {"entry_cma_alloc": Instructions(base64.b64encode(CODE).decode(), {0: "events"})})


class Making:
    """Makes ONE, and counts how often."""

    times = 0

    def __call__(self) -> Objects:
        self.times += 1
        return ONE


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "objects"


def test_it_is_made_once(directory: Path) -> None:
    making = Making()
    assert Cache(directory).get("a", making) == (ONE, False)
    assert Cache(directory).get("a", making) == (ONE, True)
    assert Cache(directory).get("b", making) == (ONE, False)
    assert making.times == 2
    assert directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"maps": {}}',
                                  '{"maps": {"a": [1]}, "programs": {}}',
                                  '{"maps": {}, "programs": {"a": ["", {"x": "y"}]}}'])
def test_what_makes_no_sense_is_made_again(directory: Path, text: str) -> None:
    making = Making()
    Cache(directory).get("a", making)
    (directory / "a.json").write_text(text)
    assert Cache(directory).get("a", making) == (ONE, False)
    assert Cache(directory).get("a", making) == (ONE, True)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_directory_that_others_write_to_is_not_used(directory: Path, mode: int) -> None:
    making = Making()
    Cache(directory).get("a", making)
    directory.chmod(mode)
    assert Cache(directory).get("a", making) == (ONE, False)
    directory.chmod(0o700)
    (directory.parent / "link").symlink_to(directory)
    assert Cache(directory.parent / "link").get("a", making) == (ONE, False)


def test_another_users_directory_is_not_used(directory: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making()
    Cache(directory).get("a", making)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert Cache(directory).get("a", making) == (ONE, False)


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    making = Making()
    for _ in range(2):
        assert Cache(tmp_path / "file" / "objects").get("a", making) == (ONE, False)
    assert making.times == 2


def test_the_oldest_go(directory: Path) -> None:
    for number in range(36):
        Cache(directory).get(f"{number}", Making())
        os.utime(directory / f"{number}.json", (number, number))
    kept = {path.stem for path in directory.iterdir()}
    assert kept == {str(number) for number in range(4, 36)}


def test_descriptors_are_put_in() -> None:
    bound = ONE.programs["entry_cma_alloc"].bound({"events": 0x1234})
    assert bound == CODE[:4] + bytes.fromhex("34120000") + CODE[8:]


def test_the_key_depends_on_all_that_matters() -> None:
    keys = [objects.key("a", ["-Db=1"], b"k"), objects.key("a", ["-Db=2"], b"k"),
            objects.key("b", ["-Db=1"], b"k"), objects.key("a", ["-Db=1"], b"l"),
            objects.key("a-", ["Db=1"], b"k"), objects.key("a", ["-Db=1", ""], b"k")]
    assert len(set(keys)) == len(keys)
    assert objects.key("a", ["-Db=1"], b"k") == keys[0]


def test_the_compilers_process_takes_nothing_from_the_current_directory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may start it anywhere, /tmp included."""
    planted = tmp_path / "planted"
    for name in ("bcc", "json", "cmaobs", "base64"):
        (tmp_path / f"{name}.py").write_text(f"open({str(planted)!r}, 'w')\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProbeError):  # there is no such map; bcc may not even be allowed to make it
        compiler.compile_probes("int x;", [], ["none"], [], "kprobe")
    assert not planted.exists()


def test_kernel_headers_are_unpacked_in_the_compilers_own_directory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none are installed; those of drivers are left out."""
    for name in ("linux", "sound"):
        (tmp_path / "tree/include" / name).mkdir(parents=True)
        (tmp_path / "tree/include" / name / "types.h").touch()
    archive, installed, own = (tmp_path / name for name in ("all.tar.xz", "installed", "own"))
    subprocess.run(["tar", "-C", tmp_path / "tree", "-cJf", archive, "."], check=True)
    own.mkdir()
    monkeypatch.chdir(own)
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "")  # put back afterwards
    monkeypatch.delenv("BCC_KERNEL_SOURCE")
    (installed / "build/include").mkdir(parents=True)
    compiler._unpack_headers(archive, installed)
    assert not list(own.iterdir())
    assert "BCC_KERNEL_SOURCE" not in os.environ
    compiler._unpack_headers(archive, tmp_path / "nothing")
    assert [path.relative_to(own) for path in own.rglob("*.h")] == [Path("include/linux/types.h")]
    assert os.environ["BCC_KERNEL_SOURCE"] == str(own)


def test_kernel_headers_that_cannot_be_unpacked_are_one_line(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bcc does not try in its own way."""
    (tmp_path / "bad.tar.xz").write_bytes(b"no archive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    with pytest.raises(SystemExit, match="could not be unpacked"):
        compiler._unpack_headers(tmp_path / "bad.tar.xz", tmp_path / "nothing")
    assert "BCC_KERNEL_SOURCE" not in os.environ
