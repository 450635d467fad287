# SPDX-License-Identifier: GPL-2.0
"""Which tasks may be in an operation that began before the probes, from a captured /proc."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cmaobs.kernel.at_attach import AtAttach, extents

ASLEEP = "[<0>] do_wait+0x1f/0x60\n[<0>] entry_SYSCALL_64_after_hwframe+0x63/0xcd\n"
HELD = "[<0>] __flush_work.isra.0+0x1/0x2\n[<0>] cma_alloc+0x1c0/0x2d0\n" + ASLEEP
KALLSYMS = "1000 T cma_alloc\n1100 t other\n2000 T cma_release\n2010 T cma_for_each_area\n"


class Proc:
    """A /proc of threads, each the first of its process."""

    def __init__(self, root: Path) -> None:
        self.root, self.proc = root, root / "proc"
        self.followed: dict[int, int] = {}
        self.running: Mapping[int, tuple[int, ...]] = {}
        (self.proc / "1/ns").mkdir(parents=True)
        (self.proc / "1/ns/pid").symlink_to("pid:[4026531836]")
        self.stack(1, ASLEEP)
        (self.proc / "self").symlink_to("1")
        (self.proc / "meminfo").write_text("")
        (self.proc / "kallsyms").write_text(KALLSYMS)

    def stack(self, thread: int, text: str, state: str = "S") -> None:
        (self.proc / f"{thread}/task/{thread}").mkdir(parents=True, exist_ok=True)
        (self.proc / f"{thread}/stack").write_text(text)
        (self.proc / f"{thread}/stat").write_text(f"{thread} (a) b) {state} 1 1")

    def watch(self) -> AtAttach:
        return AtAttach(str(self.root), ["cma_alloc", "cma_release"],
                        lambda thread: self.followed.get(thread, 0), lambda: self.running)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def looked(watch: AtAttach) -> tuple[int, frozenset[int]]:
    watch.look()
    return watch.left, watch.inside


def test_a_task_is_let_go_once_it_was_seen_outside_twice(proc: Proc) -> None:
    watch = proc.watch()
    assert looked(watch) == (1, frozenset())
    assert looked(watch) == (0, frozenset())


def test_a_held_operation_stays_until_it_is_over(proc: Proc) -> None:
    proc.stack(7, HELD)
    watch = proc.watch()
    for _ in range(3):
        left = looked(watch)
    assert left == (1, frozenset({7}))
    proc.stack(7, ASLEEP)
    assert looked(watch) == (1, frozenset())
    assert looked(watch) == (0, frozenset())


def test_an_operation_that_the_probes_follow_is_none_of_them(proc: Proc) -> None:
    proc.stack(7, HELD)
    proc.followed[7] = 1
    watch = proc.watch()
    looked(watch)
    assert looked(watch) == (0, frozenset())


def test_an_operation_inside_one_that_nobody_follows(proc: Proc) -> None:
    proc.stack(7, "[<0>] cma_release+0x1/0x2\n" + HELD)
    proc.followed[7] = 1
    watch = proc.watch()
    looked(watch)
    assert looked(watch) == (1, frozenset({7}))


@pytest.mark.parametrize("half", ["__cma_alloc", "__cma_alloc.constprop.0"])
def test_a_half_that_was_jumped_to_is_an_operation(proc: Proc, half: str) -> None:
    """6.12: cma_alloc leaves __cma_alloc alone on the stack, cma_alloc_folio is there with it."""
    proc.stack(7, f"[<0>] {half}+0x1/0x2\n" + ASLEEP)
    proc.stack(8, f"[<0>] {half}+0x1/0x2\n" + HELD.partition("\n")[2])
    watch = proc.watch()
    looked(watch)
    assert looked(watch) == (2, frozenset({7, 8}))
    proc.followed |= {7: 1, 8: 1}
    looked(watch)
    assert looked(watch) == (0, frozenset())


def test_a_task_that_runs_is_seen_on_its_cpu(proc: Proc) -> None:
    proc.stack(7, "", "R")
    proc.stack(8, "", "R")
    watch = proc.watch()
    looked(watch)
    assert looked(watch) == (2, frozenset()), "nothing is known of them"
    proc.running = {7: (0x5000, 0x10ff, 0x1100), 8: (0x5000, 0x1100, 0x2010)}
    assert looked(watch) == (1, frozenset({7}))


def test_operations_of_a_task_that_runs_are_counted(proc: Proc) -> None:
    """Frames side by side are of one, frames with others between of two."""
    for thread in (7, 8):
        proc.stack(thread, "", "R")
        proc.followed[thread] = 1
    proc.running = {7: (0x2000, 0x1000, 0x5000), 8: (0x2000, 0x5000, 0x1000)}
    watch = proc.watch()
    looked(watch)
    assert looked(watch) == (1, frozenset({8}))


@pytest.mark.parametrize("state", ["Z", "X"])
def test_what_has_ended_is_let_go(proc: Proc, state: str) -> None:
    proc.stack(7, "", state)
    watch = proc.watch()
    looked(watch)
    assert watch.left == 1, "process 1"


def test_a_task_that_disappears(proc: Proc) -> None:
    proc.stack(7, HELD)
    watch = proc.watch()
    for name in ("stack", "stat", "task/7", "task", ""):
        path = proc.proc / "7" / name
        path.rmdir() if path.is_dir() else path.unlink()
    looked(watch)
    assert looked(watch) == (0, frozenset())


def test_where_processes_are_hidden_it_says_so(proc: Proc) -> None:
    (proc.proc / "1/ns/pid").unlink()
    (proc.proc / "1/ns/pid").symlink_to("pid:[4026532000]")
    watch = proc.watch()
    assert "PID namespace" in watch.trouble
    assert not watch.left


def test_without_pid_namespaces_nobody_is_hidden(proc: Proc) -> None:
    (proc.proc / "1/ns/pid").unlink()
    watch = proc.watch()
    assert (watch.trouble, watch.left) == ("", 1)


def test_where_there_are_no_stacks_it_says_so(proc: Proc) -> None:
    (proc.proc / "1/stack").unlink()
    assert "self/stack: No such file" in proc.watch().trouble


def test_a_function_reaches_to_the_next_symbol() -> None:
    found = extents(KALLSYMS.splitlines(), frozenset({"cma_alloc", "cma_for_each_area"}))
    assert found == [range(0x1000, 0x1100), range(0x2010, 0x2011)]
