# SPDX-License-Identifier: GPL-2.0
"""kprobes and kretprobes as perf events: perf_event_open(2) with the kprobe PMU, through ctypes.

The event belongs to the descriptor: closing it, or the death of its process, takes the probe away.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import re
from pathlib import Path

from cmaobs.errors import ProbeError

_SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "armv7l": 364, "i686": 336}
_PMU = "sys/bus/event_source/devices/kprobe"
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408
_FLAG_FD_CLOEXEC = 8


class _Attr(ctypes.Structure):
    """struct perf_event_attr of include/uapi/linux/perf_event.h, PERF_ATTR_SIZE_VER1 and on."""

    _fields_ = [("type", ctypes.c_uint32), ("size", ctypes.c_uint32),
                ("config", ctypes.c_uint64), ("sample_period", ctypes.c_uint64),
                ("sample_type", ctypes.c_uint64), ("read_format", ctypes.c_uint64),
                ("flags", ctypes.c_uint64), ("wakeup_events", ctypes.c_uint32),
                ("bp_type", ctypes.c_uint32), ("kprobe_func", ctypes.c_uint64),
                ("probe_offset", ctypes.c_uint64)]


def attach_kprobe(function: str, program: int, returns: bool, root: str = "/",
                  offset: int = 0) -> int:
    """A descriptor of the probe at the entry of a kernel function, or at its return.

    program: descriptor of a BPF program of type kprobe. offset: from the entry, in bytes. Raises
    ProbeError.
    """
    pmu = Path(root) / _PMU
    name = ctypes.create_string_buffer(function.encode())
    try:
        bit = re.search(r"\d+", (pmu / "format/retprobe").read_text())
        attr = _Attr(type=int((pmu / "type").read_text()), size=ctypes.sizeof(_Attr),
                     config=(1 << int(bit[0]) if bit else 1) if returns else 0,
                     kprobe_func=ctypes.addressof(name), probe_offset=offset)
        fd = _open(attr)
        try:
            fcntl.ioctl(fd, _IOC_SET_BPF, program)
            fcntl.ioctl(fd, _IOC_ENABLE, 0)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        side = "return" if returns else "entry"
        raise ProbeError(f"no kprobe at the {side} of {function}: {error.strerror}",
                         "see `cmaobs doctor`") from error
    return fd


def _open(attr: _Attr) -> int:
    """Any process, on CPU 0: a kprobe's event counts on all of them."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(0, f"perf_event_open is not known for {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(number, ctypes.byref(attr), -1, 0, -1, _FLAG_FD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
