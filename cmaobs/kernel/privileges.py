# SPDX-License-Identifier: GPL-2.0
"""Becoming an ordinary user for good: credentials(7), capabilities(7), prctl(2).

Capabilities and no_new_privs are a thread's: this is for a process that has one thread yet, and
those that it begins later inherit what is left.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cmaobs.errors import PrivilegeError, UsageError

CAP_BPF = 39
_CAPABILITIES = 64  # numbers; the kernel refuses those that it does not have
_KEEPCAPS, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT, _CLEAR_ALL = 8, 24, 38, 47, 4
_VERSION_3 = 0x20080522  # include/uapi/linux/capability.h
_NONE = 0


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def user(name: str) -> pwd.struct_passwd:
    """Raises UsageError where there is no such user, or it is root."""
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise UsageError(f"--user: there is no user {name[:40]!r}",
                         "make one: useradd --system --no-create-home NAME") from error
    if found.pw_uid == 0:
        raise UsageError(f"--user: {name} is root", "name a user without privileges")
    return found


def drop(name: str, usable: Callable[[], bool]) -> tuple[str, ...]:
    """Become that user without any capability; what is kept all the same, by name.

    usable: whether what has been opened can be used; asked in a thread without capabilities. Where
    it cannot, CAP_BPF is kept: before Linux 5.19 (c8644cd0efe7) kernel.unprivileged_bpf_disabled
    bars others from maps that they have open. Raises UsageError or PrivilegeError.
    """
    found = user(name)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if os.geteuid() != found.pw_uid:
            _call(libc, _KEEPCAPS, 1)
            for capability in range(_CAPABILITIES):
                libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # needs CAP_SETPCAP
            os.initgroups(name, found.pw_gid)
            os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
            os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
        _call(libc, _AMBIENT, _CLEAR_ALL)
        _call(libc, _NO_NEW_PRIVS, 1)
        keep = _NONE if _without(libc, usable) else 1 << CAP_BPF
        _set(libc, keep)
    except OSError as error:
        raise PrivilegeError(f"cannot become {name}: {error.strerror}",
                             "run as root, or as that user with its capabilities ambient"
                             ) from error
    _check(found.pw_uid, keep)
    return ("CAP_BPF",) if keep else ()


def _without(libc: ctypes.CDLL, usable: Callable[[], bool]) -> bool:
    """What usable() says in a thread that has no capability, and ends."""
    answers: list[bool] = []

    def ask() -> None:
        _set(libc, _NONE)
        answers.append(usable())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers == [True]


def _set(libc: ctypes.CDLL, capabilities: int) -> None:
    """Of this thread: effective and permitted alike, nothing inheritable."""
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(data)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _call(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _check(uid: int, keep: int) -> None:
    """What the kernel says of each thread; raises PrivilegeError where anything is left."""
    for task in Path("/proc/self/task").iterdir():
        try:
            found = _status((task / "status").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if (set(found["Uid"].split()) != {str(uid)} or found["NoNewPrivs"] != "1"
                or any(int(found[name], 16) & ~keep for name in ("CapPrm", "CapEff", "CapInh",
                                                                 "CapAmb"))):
            raise PrivilegeError(f"thread {task.name} has kept privileges: {found}",
                                 "please report it")


def _status(text: str) -> Mapping[str, str]:
    """The lines of /proc/PID/status that tell of privileges."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in lines
            if name in ("Uid", "NoNewPrivs") or name.startswith("Cap")}
