# SPDX-License-Identifier: GPL-2.0
"""What makes one phase of an allocation long on purpose."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import itertools
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cmaobs.kernel.libbpf import ProgramKind, Programs
from cmaobs.kernel.perf import attach_kprobe
from kernel.tools import WAYS

_CHUNK = 1 << 20
# include/uapi/linux/kernel-page-flags.h
_DIRTY, _LRU, _ANON, _SWAPBACKED = 1 << 4, 1 << 5, 1 << 12, 1 << 14
_READINGS = 250_000  # of the clock, in which the verifier still follows: tens of ms
_BEHIND = 16  # bytes: four instructions of arm64
_RETURN = ((0xb7, 0, 0, 0), (0x95, 0, 0, 0))  # r0 = 0; exit


def clean_cache(base_pfn: int, count: int, least: int) -> int:
    """Files are read until these pages have so many that reclaim may drop: how many they have.

    Those are what reclaim_clean_pages_from_list() takes: page cache of a file, on the LRU, clean;
    of tmpfs it takes none.
    """
    files = sorted(glob.glob("/usr/lib/*/lib*.so*"), key=os.path.getsize, reverse=True)
    Path("/proc/sys/vm/drop_caches").write_text("1")
    with _lending():
        for _ in itertools.chain.from_iterable(map(_read, files)):
            found = _clean(base_pfn, count)
            if found >= least:
                return found
    raise AssertionError(f"{found} pages of files are there")


@contextlib.contextmanager
def _lending() -> Iterator[None]:
    """Memory is filled with what cannot move, so that what can comes from the areas.

    The buddy lends while most of what is free is theirs: __rmqueue() of mm/page_alloc.c.
    """
    with contextlib.ExitStack() as stack:
        room = 0
        while (free := _meminfo())["MemFree"] - free["CmaFree"] > free["CmaFree"] // 3:
            if not room:
                reader, writer = os.pipe()
                stack.callback(os.close, reader)
                stack.callback(os.close, writer)
                room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16 * _CHUNK)
            room -= os.write(writer, bytes(_CHUNK))
        yield


def _meminfo() -> dict[str, int]:
    """/proc/meminfo, in KiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}


def _read(name: str) -> Iterator[None]:
    """A chunk at a time."""
    with open(name, "rb", buffering=0) as file:
        while file.read(_CHUNK):
            yield


def _clean(base_pfn: int, count: int) -> int:
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        flags = array("Q", os.pread(file.fileno(), count * 8, base_pfn * 8))
    return sum(one & _LRU and not one & (_DIRTY | _ANON | _SWAPBACKED) for one in flags)


def slow_tracer(event: str, times: int = 1) -> AbstractContextManager[None]:
    """The kernel function that has the event within, so often, takes long: a tracer of it does."""
    return _attached(ProgramKind.RAW_TRACEPOINT, _long(times), event=event)


def slow_function(function: str) -> AbstractContextManager[None]:
    """Each call of it takes long, and so does its caller.

    At its end: what is attached later runs earlier, so tracers of before see it return after that.
    Without fexit behind its first instructions, which make its stack frame.
    """
    if "fentry" in WAYS:
        return _attached(ProgramKind.FEXIT, _long(), function=function)
    return _attached(ProgramKind.KPROBE, _long(), within=function)


def another_tracer(function: str) -> AbstractContextManager[None]:
    """One that does nothing: as it comes and goes, the function gets another trampoline."""
    return _attached(ProgramKind.FENTRY, _RETURN, function=function)


def _long(times: int = 1) -> Sequence[tuple[int, int, int, int]]:
    """A program that reads the clock again and again."""
    return ((0xb7, 6, 0, _READINGS // times),  # r6 = so many
            (0x85, 0, 0, 5),   # bpf_ktime_get_ns()
            (0x17, 6, 0, 1),   # r6 -= 1
            (0x55, 6, -3, 0),  # again, unless r6 is 0
            *_RETURN)


@contextlib.contextmanager
def _attached(kind: ProgramKind, code: Sequence[tuple[int, int, int, int]], function: str = "",
              event: str = "", within: str = "") -> Iterator[None]:
    lib = Programs("/")
    program = attached = -1
    try:
        program = lib.load("a_tracer", kind, b"".join(struct.pack("=BBhi", *one) for one in code),
                           function)
        attached = (attach_kprobe(within, program, False, offset=_BEHIND) if within else
                    lib.open(program, event))
        yield
    finally:
        for one in (attached, program):
            if one >= 0:
                os.close(one)
        lib.close()
