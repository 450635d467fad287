# SPDX-License-Identifier: GPL-2.0
"""Operations that were in flight when the probes were armed: no probe will ever tell of them.

Neither kretprobe nor fexit fires for a call that was entered before. So every task of that time is
looked at until it was seen outside of the probed functions; all that it does later is followed.
A task that sleeps shows its stack in /proc; one that runs is interrupted on its CPU
(BPF_F_TEST_RUN_ON_CPU), which takes its stack from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

_SURE = 2  # sightings: a task that wakes up while its stack is taken may show a part of it
# Static functions that operations are made of: since Linux 6.12 cma_alloc may jump to its other
# half, which is then alone on the stack.
_HALVES = frozenset({"__cma_alloc", "__cma_alloc_frozen", "__cma_release_frozen"})
_EVERYBODY = "pid:[4026531836]"  # PROC_PID_INIT_INO of include/linux/proc_ns.h

Ips = tuple[int, ...]


class AtAttach:
    """The tasks of a moment, until each was seen outside of some functions."""

    def __init__(self, root: str, functions: Iterable[str], followed: Callable[[int], int],
                 running: Callable[[], Mapping[int, Ips]]) -> None:
        """Lists the tasks; to be made once the probes are armed.

        functions: whose calls are operations. followed: how many operations in flight the probes
        know of a thread. running: kernel stacks by thread, of those that run now.
        """
        self._proc = Path(root) / "proc"
        self._functions = frozenset(functions) | _HALVES
        self._followed, self._running = followed, running
        self._ranges: list[range] | None = None
        self._seen: Counter[int] = Counter()  # sightings outside
        self.inside: frozenset[int] = frozenset()  # at the last look
        self.trouble = self._blind()
        self._left = set() if self.trouble else set(_threads(self._proc))

    def _blind(self) -> str:
        """Why stacks cannot be seen, or an empty string."""
        namespace = self._proc / "1/ns/pid"
        try:
            (self._proc / "self/stack").read_text()
            if not namespace.is_symlink() and namespace.parent.is_dir():
                return ""  # CONFIG_PID_NS=n: nobody can be hidden
            if str(namespace.readlink()) != _EVERYBODY:
                return "processes outside of this PID namespace are hidden"
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    @property
    def left(self) -> int:
        """Threads that may still be in an operation that nobody follows."""
        return len(self._left)

    def give_up(self, why: str) -> None:
        """Nobody can be looked at any more."""
        self.trouble = why
        self._left.clear()

    def look(self) -> None:
        """Look at those that are left."""
        inside, dark = set(), set()
        for thread in tuple(self._left):
            known = self._followed(thread)
            functions = self._stack(thread)
            if functions is None:
                self._left.discard(thread)
            elif not functions:
                dark.add(thread)
            elif self._strange(thread, functions, known):
                inside.add(thread)
            else:
                self._outside(thread, 1)
        if dark:
            for thread, ips in self._running().items():
                if thread not in dark:
                    continue
                if self._strange(thread, list(self._named(ips)), 0):
                    inside.add(thread)
                else:
                    self._outside(thread, _SURE)
        self.inside = frozenset(inside)

    def _strange(self, thread: int, functions: list[str], known: int) -> bool:
        """Whether more operations are on the stack than are followed, before or after.

        Functions that call one another there are of one operation.
        """
        calls = sum(inside for inside, _ in groupby(_plain(name) in self._functions
                                                    for name in functions))
        return calls > known and calls > self._followed(thread)

    def _outside(self, thread: int, sightings: int) -> None:
        self._seen[thread] += sightings
        if self._seen[thread] >= _SURE:
            self._left.discard(thread)

    def _stack(self, thread: int) -> list[str] | None:
        """Functions, innermost first; none while it runs; None once it is over."""
        task = self._proc / str(thread)
        try:
            lines = (task / "stack").read_text().splitlines()
            if not lines and (task / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return None
        except (FileNotFoundError, ProcessLookupError):
            return None
        return [line.split()[-1].partition("+")[0] for line in lines]

    def _named(self, ips: Ips) -> Iterator[str]:
        """A name for each address: of one of the functions, no matter which, or none."""
        if self._ranges is None:
            with (self._proc / "kallsyms").open() as lines:
                self._ranges = extents(lines, self._functions)
        name = next(iter(self._functions))
        for ip in ips:
            yield name if any(ip in each for each in self._ranges) else ""


def _plain(name: str) -> str:
    """Without what the compiler appends to the name of a clone: .constprop.0, .isra.0."""
    return name.partition(".")[0]


def _threads(proc: Path) -> Iterator[int]:
    for process in proc.iterdir():
        if process.name.isdecimal():
            try:
                yield from [int(task.name) for task in (process / "task").iterdir()]
            except (FileNotFoundError, ProcessLookupError):
                continue


def extents(kallsyms: Iterable[str], functions: frozenset[str]) -> list[range]:
    """The addresses of each function: up to the next symbol."""
    starts, addresses = [], set()
    for line in kallsyms:
        text, _, name, *_ = line.split()
        addresses.add(address := int(text, 16))
        if _plain(name) in functions:
            starts.append(address)
    return [range(start, min((a for a in addresses if a > start), default=start + 1))
            for start in starts]
