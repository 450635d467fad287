# SPDX-License-Identifier: GPL-2.0
"""Policies by name, and that another way to do it right agrees only under its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden.cli import run
from reference.stream import Stream

from cmaobs import policies
from cmaobs.recording import RecordingWriter
from cmaobs.steps import Policy

DOES = {"hit-joins-two": "rfc,merge", "scan-oldest-first": "rfc,oldest-first",
        "batch-0-keeps": "rfc,keep-at-zero"}


@pytest.mark.parametrize(("name", "policy"), [
    ("rfc", Policy()), ("plain", Policy(deferral=False)), ("rfc,merge", Policy(merge=True)),
    ("rfc,oldest-first,merge", Policy(merge=True, oldest_first=True)),
    ("rfc,keep-at-zero", Policy(flush_at_zero=False))])
def test_names(name: str, policy: Policy) -> None:
    assert policies.parse(name) == policy


@pytest.mark.parametrize("name", ["", "help", "rfc,", "merge", "plain,merge", "rfc,fast", "RFC"])
def test_any_other_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected rfc .*plain.*,merge.*,oldest-first.*at-zero"):
        policies.parse(name)


def test_the_command_line_says_so_in_one_line() -> None:
    done = run("replay", "x", "--policy", "help")
    assert done.returncode == 2
    line, _ = done.stderr.splitlines()
    assert line.startswith("error: argument --policy: expected rfc (deferred freeing), or plain")


@pytest.mark.parametrize("does", DOES)
def test_another_implementation_agrees_under_its_own_policy(tmp_path: Path, does: str) -> None:
    for seed in range(400):
        stream = Stream(seed, 1, 60, defects=frozenset({does}))
        if does not in stream.kernel.fired:
            continue
        path = tmp_path / "a"
        with RecordingWriter(str(path), stream.identity, stream.areas) as writer:
            for step in stream.made:
                writer.add(step)
        if run("replay", path).returncode != 1:
            continue
        for command in ("replay", "explain"):
            done = run(command, path, "--policy", DOES[does])
            assert done.returncode == 0, done.stdout
        return
    pytest.fail("no history shows the difference")


def test_a_recording_made_under_a_policy_is_replayed_under_it(tmp_path: Path) -> None:
    stream = Stream(1, 1)
    for policy, status in (("rfc", 0), ("plain", 1), ("none", 2)):
        with RecordingWriter(str(tmp_path / policy), {**stream.identity, "policy": policy},
                             stream.areas) as writer:
            for step in stream.made:
                writer.add(step)
        done = run("replay", tmp_path / policy)
        assert done.returncode == status, done.stdout
        assert run("replay", tmp_path / policy, "--policy", "rfc").returncode == 0
