# SPDX-License-Identifier: GPL-2.0
"""The YAML file, flags and defaults, and what is said about each mistake."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmaobs import config, config_file
from cmaobs.config import Address, Settings
from cmaobs.errors import ConfigError

GOOD = {
    "listen": ("'[::1]:9000'", Address("::1", 9000)), "attach": ("kprobe", "kprobe"),
    "interval": ("500ms", 0.5), "duration": ("2m", 120.0), "record": ("/tmp/a.cmarec",
                                                                     "/tmp/a.cmarec"),
    "max-size": ("64M", 64 << 20), "ring-pages": ("256", 256), "root": ("/", "/"),
    "status": ("5", 5.0), "policy": ("rfc,merge", "rfc,merge"), "stacks": ("yes", True),
    "callers": ("no", False), "buffers": ("30s", 30.0), "lent": ("5m", 300.0),
    "phases": ("yes", True),
    "max-rate": ("5000", 5000),
    "evidence": ("/tmp/cma", "/tmp/cma"), "evidence-files": ("3", 3),
    "evidence-bytes": ("1M", 1 << 20), "web-config": ("web.yml", "web.yml"),
    "user": ("nobody", "nobody"),
}


def _settings(*argv: str) -> Settings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    config.add_flags(parser, config.BY_KEY)
    return config.settings(parser.parse_args(argv))


def test_every_key_is_a_setting_and_a_flag_and_has_an_example_here() -> None:
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert [option.field for option in config.OPTIONS] == fields
    assert list(GOOD) == list(config.BY_KEY)


@pytest.mark.parametrize("key", GOOD)
def test_a_key_means_the_same_in_the_file_and_as_a_flag(tmp_path: Path, key: str) -> None:
    text, value = GOOD[key]
    (tmp_path / "c.yaml").write_text(f"# comment\n{key}: {text}\n")
    field = config.BY_KEY[key].field
    from_file = _settings("--config", str(tmp_path / "c.yaml"))
    assert getattr(from_file, field) == value
    assert from_file == _settings(f"--{key}", text.strip("'"))
    assert dataclasses.replace(from_file, **{field: getattr(Settings(), field)}) == Settings()


def test_flags_win_over_the_file_and_the_file_over_the_command(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("interval: 2\nduration: 3\n")
    args = argparse.Namespace(config=str(tmp_path / "c.yaml"), interval=7.0, duration=None)
    assert config.settings(args, duration=10.0, status=1.0) == Settings(
        interval=7.0, duration=3.0, status=1.0)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing\n")
    assert _settings("--config", str(tmp_path / "c.yaml")) == Settings()


@pytest.mark.parametrize(("text", "message", "remedy"), [
    ("interval: 1\nintervall: 2\n", "2: intervall: unknown key", "known are: listen, "),
    ("interval: 1\n\ninterval: 2\n", "3: interval: given twice", "remove one"),
    ("interval: soon\n", "1: interval: expected a time such as 2, 500ms, 5m or 1h, got 'soon'",
     "correct that line"),
    ("interval: 0\n", "1: interval: expected a time from 0.1 s to 3600 s, got '0'", "correct"),
    ("interval: [1]\n", "1: interval: expected one value, got a collection", "correct"),
    ("interval:\n", "1: interval: expected one value, got nothing", "correct"),
    ("listen: 127.0.0.1\n", "1: listen: expected HOST:PORT", "correct"),
    ("listen: 'a:70000'\n", "1: listen: expected HOST:PORT", "correct"),
    ("ring-pages: 100\n", "1: ring-pages: expected a power of two", "correct"),
    ("max-size: 1K\n", "1: max-size: expected at least 64K", "correct"),
    ("attach: ftrace\n", "1: attach: expected auto, kprobe or fentry, got 'ftrace'", "correct"),
    ("root: /nowhere\n", "1: root: expected a directory, got '/nowhere'", "correct"),
    ("- interval\n", "1: expected `key: value` lines", "correct"),
    ("? [a, b]\n: 1\n", "unknown key", "known are"),
    ("interval: 1\n  duration: 2\n", "2: mapping values are not allowed here", "write one"),
    ("a: " + "[" * 20000, "", "write one"),
    ("\x00", "", "write one"),
])
def test_a_mistake_is_one_line_with_file_line_and_key(
        tmp_path: Path, text: str, message: str, remedy: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config_file.read(str(path))
    assert caught.value.message.startswith(f"{path}:")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}"):
        config_file.read(str(tmp_path / name))


@given(st.text(max_size=12), st.sampled_from(list(config.BY_KEY)))
def test_any_text_is_a_value_or_a_value_error(text: str, key: str) -> None:
    try:
        config.BY_KEY[key].parse(text)
    except ValueError as error:
        assert "expected" in str(error)
