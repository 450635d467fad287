# SPDX-License-Identifier: GPL-2.0
"""What deploy/systemd/cmaobs.service makes of a process, where there is no systemd to do it.

User, capabilities and system calls are taken from the unit, and that it may open no socket. Its
mounts are not made, nor its network namespace: the device's kernel has none.
Run as a program, with the unit's system calls allowed: python sandbox.py COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/cmaobs.service"
_ERRNO_EPERM = 0x00050001  # SCMP_ACT_ERRNO(EPERM) of seccomp.h
_ALLOW = 0x7FFF0000


def values(key: str) -> list[str]:
    """Of all lines of the unit with that key."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def command(listening: int, uid: int) -> list[str]:
    """The words before a command that run it so, with the socket as descriptor 3."""
    assert values("NoNewPrivileges") == ["yes"]
    caps = ",".join("+" + name.removeprefix("CAP_").lower()
                    for name in values("AmbientCapabilities")[0].split())
    assert values("CapabilityBoundingSet") == values("AmbientCapabilities")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
            "--no-new-privs", f"--inh-caps=-all,{caps}", f"--ambient-caps=-all,{caps}",
            f"--bounding-set=-all,{caps}", sys.executable, __file__, str(listening)]


def allowed() -> set[str]:
    """System calls that the unit allows."""
    found: set[str] = set()
    for value in values("SystemCallFilter"):
        names = {name for word in value.lstrip("~").split() for name in _expanded(word)}
        found = found - names if value.startswith("~") else found | names
    assert values("RestrictAddressFamilies") == ["none"]
    found -= {"socket", "socketpair"}
    return found | _expanded("@default")  # which an allow list always has


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.splitlines()
    words = [line.strip() for line in lines[1:] if line.strip() and "#" not in line]
    return {name for one in words for name in _expanded(one)}


def restrict(names: set[str]) -> None:
    """Of this process and its children: these system calls only."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(_ERRNO_EPERM))
    for name in names:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            assert not lib.seccomp_rule_add(context, _ALLOW, number, 0), name
    assert not lib.seccomp_load(context)


if __name__ == "__main__":
    if int(sys.argv[1]) != 3:
        os.dup2(int(sys.argv[1]), 3)
    os.set_inheritable(3, True)
    restrict(allowed())
    os.execv(sys.argv[2], sys.argv[2:])
