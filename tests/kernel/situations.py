# SPDX-License-Identifier: GPL-2.0
"""Makes recordings of docs/tutorial/ in the device, on the kernel that makes mistakes on demand.

    python tests/kernel/situations.py DIRECTORY [leak|failing|lost|diverging]...
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kernel.pinning import pinned_page
from kernel.tools import AREA, CMAOBS, Area, wait_for
from kernel.workloads import switch

_HOLDER = Path(__file__).with_name("holder.py")
_BUFFER = 64  # pages
_LOAD = ("--source", "debugfs", "--threads", "4", "--rate", "0", "--sizes", "1-16",
         "--lifetime", "0-2", "--duration", "60")


class Holder:
    """A process of that name that takes buffers from the heap and gives them back."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen([sys.executable, _HOLDER, name, AREA], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, *words: str) -> str:
        """Its answer to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """What it holds goes back to the kernel."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def observed(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A command that observes; ended by Ctrl-C, and what it prints is printed."""
    with subprocess.Popen([*CMAOBS, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        lines = iter(process.stderr.readline, "")
        assert any("observing" in line for line in lines), "it ended before it began"
        yield process
        process.send_signal(signal.SIGINT)
        print("# cmaobs", *command)
        print(process.stdout.read(), process.stderr.read(), flush=True)


def leak(area: Area, to: Path) -> None:
    """One process gives back what it takes; another forgets every fourth buffer."""
    camera, decoder = Holder("camera"), Holder("decoder")
    with observed("check", "--duration", "1h", "--interval", "2s", "--record",
                  str(to / "leak.cmarec")):
        frames = [camera.do("alloc", str(_BUFFER)) for _ in range(4)]
        for turn in range(60):
            time.sleep(0.4)
            camera.do("close", frames[turn % 4])
            frames[turn % 4] = camera.do("alloc", str(_BUFFER))
            picture = decoder.do("alloc", str(_BUFFER))
            if turn % 4:
                decoder.do("close", picture)
        time.sleep(1)
    camera.end()
    decoder.end()


def failing(area: Area, to: Path) -> None:
    """For want of a page that a pipe refers to, of a run, of room, and of a larger area."""
    base, count = area.debugfs("base_pfn"), area.debugfs("count")
    with observed("check", "--duration", "5m", "--phases", "yes", "--record",
                  str(to / "failing.cmarec")):
        with pinned_page(base, count) as pinned:
            before = pinned - base - 1
            assert area.alloc(before)
            assert not area.alloc(count - before)
            assert area.alloc(4)  # tries the page before it, it, and gets what follows
            time.sleep(2)
            area.free(1 << 20)
        assert area.alloc(count - 3000)
        area.free(1500)  # from its beginning
        assert not area.alloc(4000)
        assert not area.alloc(5000)
        assert not area.alloc(count + 1)
        time.sleep(2)


def lost(area: Area, to: Path) -> None:
    """Of a small ring, while the observer is stopped for a second; never at rest from then on."""
    area.batch(0)  # each allocation takes milliseconds
    with observed("check", "--duration", "5m", "--ring-pages", "8", "--record",
                  str(to / "lost.cmarec")) as check:
        load = subprocess.Popen([*CMAOBS, "load", *_LOAD], stdout=subprocess.DEVNULL)
        wait_for(lambda: area.debugfs("used"))
        time.sleep(0.5)
        check.send_signal(signal.SIGSTOP)
        time.sleep(1)
        check.send_signal(signal.SIGCONT)
        time.sleep(0.5)
    load.terminate()
    load.wait()


def diverging(area: Area, to: Path) -> None:
    """A flush clears the bits of the run just picked: D10 of docs/defects.md."""
    def some() -> None:
        for pages in (4, 8, 16):
            area.blocks(pages, pages)
        assert area.alloc(40)
        assert area.alloc(40)
        area.free(80)
        time.sleep(1)

    with observed("check", "--duration", "5m", "--evidence", str(to / "evidence")):
        some()
        switch("flush-clears-picked")
        some()
        switch("none")
    switch("mend")


def main() -> None:
    """Those that are named, or all."""
    to = Path(sys.argv[1])
    to.mkdir(parents=True, exist_ok=True)
    area = Area(AREA, True)
    every = {one.__name__: one for one in (leak, failing, lost, diverging)}
    for name in sys.argv[2:] or every:
        area.reset()
        every[name](area, to)
    area.reset()


if __name__ == "__main__":
    main()
