# SPDX-License-Identifier: GPL-2.0
"""Fixtures for tests that run inside the device, on a live kernel, as root.

An observer takes seconds to start under emulation, and the first of its kind compiles for up to
30 s: tests share observers where they can.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from kernel.tools import AREA, Area, Serve
from kernel.watch import Watch

# What a file takes on a slow machine where it is more than one, by which parts are dealt.
MINUTES = {"why": 11, "known_workload": 5, "concurrent": 4, "who": 3, "commands": 3, "policy": 2,
           "losses": 2, "withheld": 2, "killed": 2, "at_attach": 2}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--patched", default="yes",
                     choices=("yes", "no", "defects", "owner", "users", "faults"),
                     help="whether this kernel must have deferred freeing, or defects of it, or "
                     "page_owner, drivers or faults as well")
    parser.addoption("--source", default="6.1",
                     help="which source of deploy/kernel/matrix this kernel must be made of")
    parser.addoption("--part", default=(1, 1), metavar="K/N", type=_part,
                     help="the K-th of N parts of the files, of like length")


def _part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not 0 < int(part) <= int(parts):
        raise ValueError(text)
    return int(part), int(parts)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What the kernel fits and the part holds: tests of deferral ask for the patch."""
    chosen, left = [], []
    for item in items:
        markers = {name: item.get_closest_marker(name) for name in ("patched", "source")}
        fits = all(config.getoption(f"--{name}") == marker.args[0]
                   for name, marker in markers.items() if marker)
        (chosen if fits else left).append(item)
    part, parts = config.getoption("--part")
    dealt = _dealt(sorted({item.path.name for item in chosen}), parts)
    left += [item for item in chosen if dealt[item.path.name] != part]
    items[:] = [item for item in chosen if dealt[item.path.name] == part]
    config.hook.pytest_deselected(items=left)


def _dealt(names: Sequence[str], parts: int) -> Mapping[str, int]:
    """Which part has a file: the longest first, each to the part that has least to do."""
    takes = {name: MINUTES.get(name.removeprefix("test_").removesuffix(".py"), 1) for name in names}
    dealt, to_do = {}, [0] * parts
    for name in sorted(names, key=lambda one: -takes[one]):
        part = to_do.index(min(to_do))
        to_do[part] += takes[name]
        dealt[name] = part + 1
    return dealt


@pytest.fixture(scope="session")
def patched(pytestconfig: pytest.Config) -> bool:
    """Whether the kernel defers; fails where it is not the kernel that was asked for."""
    wanted = pytestconfig.getoption("--patched") != "no"
    assert Path("/sys/kernel/debug/cma", AREA).is_dir(), "no CMA area in debugfs: not the device"
    assert Path("/sys/kernel/mm/cma", AREA, "batch").exists() == wanted, \
        "this is not the kernel that --patched asks for"
    assert os.uname().release.startswith(pytestconfig.getoption("--source") + "."), \
        "this is not the kernel that --source asks for"
    return wanted


@pytest.fixture
def area(patched: bool) -> Iterator[Area]:
    """The default area, with nothing allocated or deferred, and batch as it was at boot."""
    area = Area(AREA, patched)
    area.reset()
    yield area
    area.reset()


@pytest.fixture(scope="module")
def serve(patched: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """An exporter that runs for all tests of a module, with a recording."""
    with Serve(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def observed(patched: bool) -> Iterator[Watch]:
    """An observer in this process, for all tests of a module."""
    watch = Watch()
    yield watch
    watch.session.close()


@pytest.fixture
def watch(observed: Watch, area: Area) -> Watch:
    """The module's observer, which has forgotten what the tests before have done."""
    observed.clear()
    return observed
