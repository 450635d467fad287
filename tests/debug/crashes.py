# SPDX-License-Identifier: GPL-2.0
"""Defects that no kernel survives: how each is provoked, and who has to tell it.

The steps are shell lines for the guest; alloc, free, scan and batch write to the files of the area.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# What the checkers of the debug flavour say first, and their names.
SIGNS = (
    (r"BUG: KASAN: ([\w-]+ in \w+)", "KASAN"),
    (r"WARNING: (possible recursive locking detected)", "lockdep"),
    (r"WARNING: (bad unlock balance detected)", "lockdep"),
    (r"WARNING: (lock held when returning to user space)", "lockdep"),
    (r"INFO: (trying to register non-static key)", "lockdep"),
    (r"BUG: (spinlock [\w ]+) on CPU", "DEBUG_SPINLOCK"),
    (r"BUG: (sleeping function called from invalid context)", "DEBUG_ATOMIC_SLEEP"),
    (r"BUG: (scheduling while atomic)", "the scheduler"),
    (r"(list_\w+ corruption\. [\w>-]+ [\w ]+)", "DEBUG_LIST"),
    (r"BUG: (unable to handle [\w ]+|kernel NULL pointer dereference)", "the page fault"),
    (r"(general protection fault)", "the processor"),
    (r"(watchdog: BUG: soft lockup)", "the watchdog"),
    (r"(rcu: INFO: rcu_\w+ (?:self-)?detected stall)", "RCU"),
)


class Crash(NamedTuple):
    """name: in cma_defect. defect: of the RFC. steps: before and after it is turned on.

    by: the checker that must be among those that tell it.
    """

    name: str
    defect: str
    what: str
    before: str
    after: str
    by: str


CRASHES = (
    Crash("fetch-reads-freed", "D3", "an extent is read after kfree()",
          "alloc 16; free 16", "alloc 16", "KASAN"),
    Crash("fetch-releases-locked", "D4", "cma_release() under cma->lock",
          "alloc 16; free 16", "alloc 8", "lockdep"),
    Crash("walk-reads-freed", "D8", "a walk goes on from an extent that was freed",
          "alloc 16; free 16; alloc 4; alloc 4; free 8", "batch 0", "KASAN"),
    Crash("fetch-clears-locked", "D9", "cma->lock is taken again to clear bits",
          "alloc 16; free 16", "alloc 8", "lockdep"),
    Crash("fetch-unlocks-twice", "D12", "an unlock without a lock",
          "alloc 16; free 16", "alloc 8", "lockdep"),
    Crash("scan-of-no-area", "D15", "container_of() on a shrinker that is in no area",
          "alloc 64; free 64", "scan 64", "KASAN"),
    Crash("release-no-list", "D16", "the list was never set up",
          "alloc 16", "free 16", "DEBUG_LIST"),
    Crash("scan-keeps-lock", "D18", "a scan returns with the lock held",
          "alloc 16; free 16", "scan 1; alloc 8", "lockdep"),
)

SCRIPT = """\
area=/sys/kernel/debug/cma/camera
alloc() {{ echo "$1" >$area/alloc; }}
free() {{ echo "$1" >$area/free; }}
scan() {{ echo "0 0 $1" >"$(echo /sys/kernel/debug/shrinker/cma-shadow:camera-*)/scan"; }}
batch() {{ echo "$1" >/sys/kernel/mm/cma/camera/batch; }}
{before}
echo {name} >/sys/kernel/debug/cma_defect
echo "crash: {name} is on" >/dev/kmsg
{after}
head -n 1 /sys/kernel/debug/cma_defect
"""


def script(crash: Crash) -> str:
    """For bash in the guest; it prints how often the defect took effect, if it comes so far."""
    return SCRIPT.format(**crash._asdict())


def told(console: str) -> list[tuple[str, str]]:
    """Who said what in the console after the defect was turned on, each once, in order."""
    _, on, after = console.partition("crash: ")
    if not on:
        return []
    found = sorted((match.start(), who, match[1].strip())
                   for sign, who in SIGNS for match in re.finditer(sign, after))
    return list(dict.fromkeys((who, what) for _, who, what in found))


def row(crash: Crash, ended: str, said: Sequence[tuple[str, str]]) -> str:
    """A line of the table."""
    who, what = said[0] if said else ("nobody", "")
    return f"| {crash.name} | {crash.defect} | {crash.what} | {who}: {what} | {ended} |"


HEAD = ("| defect | of the RFC | what it does | told first by | the guest then |\n"
        "|---|---|---|---|---|\n")
