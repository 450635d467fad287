# SPDX-License-Identifier: GPL-2.0
"""Evidence on disk: names, bounds, what is never touched, and disks that are full."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from golden import histories, recordings, samples
from golden.cli import environment, run
from golden.samples import ListSource

from cmaobs.commands import running
from cmaobs.config import Settings
from cmaobs.errors import RecordingWriteError
from cmaobs.evidence import Store
from cmaobs.evidence.keeper import AGAIN_S, Keeper
from cmaobs.observe import Observer
from cmaobs.source import Batch
from cmaobs.state import Reading
from cmaobs.view import View

STEPS = recordings.steps()
NAME = re.compile(r"reserved-R\d+-\d{8}T\d{6}\.\d{3}Z\.cmarec")


def observe(directory: Path, steps: list[Batch | Reading], **settings: int) -> View:
    """Observe a history with evidence; the view at its end."""
    source = ListSource(*steps)
    chosen = Settings(evidence=str(directory), **settings)
    observer = running.observed(chosen, source, None, running.store(chosen))
    for _ in observer.steps():
        pass
    return observer.view


def kept(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_divergence_leaves_a_file_that_says_the_same(tmp_path: Path) -> None:
    view = observe(tmp_path / "new", histories.unlawful())
    assert view.verdict is not None
    one, = view.verdict.divergences
    name, = kept(tmp_path / "new")
    assert NAME.fullmatch(name)
    assert one.evidence == str(tmp_path / "new" / name)
    done = run("replay", one.evidence)
    assert done.returncode == 1
    assert f"divergence from {one.rule} in area reserved at pfn 0x40000+16" in done.stdout
    assert done.stdout.rstrip().endswith("verdict: diverge")
    whole = len(recordings.write(tmp_path / "whole", histories.unlawful()))
    assert (tmp_path / "new" / name).stat().st_size < whole


def test_agreement_leaves_none(tmp_path: Path) -> None:
    observe(tmp_path, histories.lawful())
    assert kept(tmp_path) == []


def test_the_oldest_go_and_nothing_else(tmp_path: Path) -> None:
    foreign = {"notes.txt": b"mine", "reserved-R5-20200101T000000.000Z.cmarec": b"not a recording"}
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
    recordings.write(tmp_path / "reserved-R6-20200101T000000.000Z.cmarec", STEPS)  # by --record
    recordings.write(tmp_path / "run.cmarec", STEPS)
    others = kept(tmp_path)
    store = Store(str(tmp_path), 3, 1 << 20)
    written = [store.write(samples.AREA, f"R{number}", 1e9 + number, {}, STEPS)
               for number in range(1, 8)]
    assert kept(tmp_path) == sorted([*others, *(path.name for path in written[-3:])])
    assert {name: (tmp_path / name).read_bytes() for name in foreign} == foreign


def test_the_size_of_all_is_bounded(tmp_path: Path) -> None:
    size = Store(str(tmp_path), 9, 1 << 20).write(samples.AREA, "R5", 1e9, {}, STEPS
                                                   ).stat().st_size
    store = Store(str(tmp_path), 9, 2 * size + 10)
    for number in range(4):
        store.write(samples.AREA, "R5", 2e9 + number, {}, STEPS)
    assert len(kept(tmp_path)) == 2
    with pytest.raises(RecordingWriteError, match=f"more than {size // 2} bytes"):
        Store(str(tmp_path), 9, size // 2).write(samples.AREA, "R6", 3e9, {}, STEPS)
    assert not [name for name in kept(tmp_path) if "R6" in name]


def test_two_of_one_moment_have_two_names(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 9, 1 << 20)
    assert len({store.write(samples.AREA, "R5", 1e9, {}, STEPS) for _ in range(3)}) == 3


def test_a_name_stays_in_its_directory(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 9, 1 << 20)
    for name in ("../../etc/cma", "..", "", "a b\n", "linux,cma@8000"):
        path = store.write(replace(samples.AREA, name=name), "R5", 1e9, {}, STEPS)
        assert path.parent == tmp_path
        assert path.is_file()
    for _ in range(20):  # and is known again as ours
        store.write(replace(samples.AREA, name="../x"), "R5", 2e9, {}, STEPS)
    assert len(kept(tmp_path)) == 9


@pytest.mark.parametrize("where", ["/dev/null", "/nowhere/at/all", "/proc/none"])
def test_a_directory_that_cannot_be_is_an_error_with_a_remedy(where: str) -> None:
    with pytest.raises(RecordingWriteError, match="cannot keep evidence in") as caught:
        Store(where, 1, 1 << 20)
    assert "--evidence" in caught.value.remedy


_FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from golden import histories
from unit.test_evidence import observe
view = observe(Path(sys.argv[1]), histories.unlawful())
print(view.verdict.outcome.name, [one.evidence for one in view.verdict.divergences])
print(*view.warnings, sep="|")
"""


def test_a_full_disk_is_one_warning_and_not_the_end(tmp_path: Path) -> None:
    """A file size limit stands in for the disk; see test_recording.py."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", _FULL.format(root=root), str(tmp_path)],
                          capture_output=True, text=True, check=True, env=environment())
    outcome, warnings = done.stdout.splitlines()
    assert outcome == "DIVERGE ['']"
    assert re.fullmatch(r"evidence: cannot write .*: File too large", warnings)
    assert kept(tmp_path) == []


def test_one_file_for_an_area_and_rule_until_some_time_has_passed(tmp_path: Path) -> None:
    """The same fault again and again."""
    counts = []
    for again_s in (AGAIN_S, 0):
        source = ListSource(*_again())
        check = running.checker(source)
        directory = tmp_path / str(again_s)
        keeper = Keeper(Store(str(directory), 50, 1 << 24), check, running.checker,
                        source.identity, source.areas, again_s=again_s)
        observer = Observer(source, check, None, keeper)
        for _ in observer.steps():
            pass
        assert observer.view.verdict is not None
        roots = observer.view.verdict.divergences
        assert len(roots) > 3
        assert len({one.rule for one in roots}) == 1
        counts.append(len(kept(directory)))
        assert sum(bool(one.evidence) for one in roots) == counts[-1]
    assert counts == [1, len(roots)]


def _again() -> list[Batch | Reading]:
    """Several double grants, each followed by rests."""
    history = histories.History()
    for _ in range(3):
        history.round()
        history.read()
    for _ in range(5):
        history.grant_twice()
        for _ in range(3):
            history.read()
        history.give_back()
        for _ in range(2):
            history.read()
    return history.steps
