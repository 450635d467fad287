# SPDX-License-Identifier: GPL-2.0
"""From a plan to probes that are attached: compiled or from the cache, then loaded by libbpf.

All that the kernel holds belongs to descriptors of this process: nothing is left attached after a
kill.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmaobs import wire
from cmaobs.errors import ProbeError
from cmaobs.kernel import compiler, objects
from cmaobs.kernel.libbpf import ProgramKind, Programs
from cmaobs.kernel.objects import Objects
from cmaobs.kernel.perf import attach_kprobe
from cmaobs.kernel.plan import Plan

MAPS = ("events", "config", "slots", "threads", "empty_thread", "counted", "losses", "flight",
        "snap")
STACKS, CALLERS = "stacks", "callers"  # maps as well, where stacks are asked for
PHASES = ("phasing", "phase_latencies", "moved")  # where phases are
RUN = ("snapshot", "peek", "running")  # programs that are run, not attached
_ALWAYS = {"thread_exit": "sched_process_exit"}
_TOLD = ("release_event", "busy_page")  # what these see only records tell
_SIDES = ("return", "entry")  # the return first, so that no entry goes without


@dataclass(frozen=True, slots=True)
class Parts:
    """What is compiled in beside what the plan says.

    ring_pages: of the ring buffer, a power of two. slots: of threads, a power of two; max_threads:
    beside those that have one. send: the sending of records. stacks: the taking of kernel stacks.
    probes: False leaves all but the snapshot reader unattached.
    """

    ring_pages: int
    slots: int
    max_threads: int
    send: bool = True
    stacks: bool = False
    probes: bool = True

    @property
    def flags(self) -> list[str]:
        """For the compiler."""
        return [f"-DTHREAD_SLOTS={self.slots}",
                f"-DSLOTS_BYTES={self.slots * wire.size('cmaobs_thread')}",
                *(["-DWITH_RECORDS=1"] if self.send else []),
                *(["-DWITH_STACKS=1"] if self.stacks else [])]

    @property
    def sizes(self) -> dict[str, int]:
        """Entries of maps for which the source does not say it; of a ring, bytes."""
        return {"events": self.ring_pages * os.sysconf("SC_PAGESIZE"),
                "threads": self.max_threads}


@dataclass(frozen=True, slots=True)
class Loaded:
    """File descriptors by name.

    attached: one per probe; closing it detaches. attach: kprobe or fentry. max_areas: that the
    maps have room for. compile_seconds: that the compiler took, 0 where the cache had its work.
    """

    attach: str
    maps: dict[str, int] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    attached: dict[str, int] = field(default_factory=dict)
    max_areas: int = 0
    compile_seconds: float = 0.0

    def close(self) -> None:
        """Detach first, then free maps and programs."""
        for fds in (self.attached, self.programs, self.maps):
            for fd in fds.values():
                os.close(fd)
            fds.clear()


def load(plan: Plan, parts: Parts, root: str = "/") -> Loaded:
    """Compile and attach as planned.

    Raises ProbeError with the compiler's or verifier's last line.
    """
    modes = [plan.attach] if plan.attach == "kprobe" or not plan.fallback \
        else ["fentry", "kprobe"]
    for last, mode in enumerate(modes, start=1):
        try:
            return _load_once(plan, mode, parts, root)
        except ProbeError:
            if last == len(modes):
                raise
    raise AssertionError("there is at least one way to attach")


def _load_once(plan: Plan, mode: str, parts: Parts, root: str) -> Loaded:
    flags = [*compiler.FLAGS, *parts.flags,
             *(f"-D{name}={value}" for name, value in plan.defines.items()),
             *(["-DCMAOBS_FENTRY"] if mode == "fentry" else [])]
    functions = {**plan.phases, **plan.functions}
    programs = [*RUN, *_ALWAYS, *plan.tracepoints,
                *(f"{side}_{handler}" for handler in functions for side in _SIDES)]
    if not parts.send:
        programs = [program for program in programs if program not in _TOLD]
    maps = [*MAPS, *((STACKS, CALLERS) if parts.stacks else ()),
            *(PHASES if "WITH_PHASES" in plan.defines else ())]
    text = compiler.source("cmaobs.bpf.c")

    started = time.monotonic()
    cache = objects.Cache(_cache_directory())
    found, cached = cache.get(
        objects.key(text, flags, _kernel(root)),
        lambda: compiler.compile_probes(text, flags, maps, programs, mode))
    seconds = 0.0 if cached else time.monotonic() - started
    loaded = Loaded(mode, max_areas=plan.max_areas, compile_seconds=seconds)
    try:
        _attach(loaded, found, parts.sizes, functions if parts.probes else {},
                {**_ALWAYS, **plan.tracepoints} if parts.probes else {}, root)
    except ProbeError:
        loaded.close()
        raise
    return loaded


def _attach(loaded: Loaded, found: Objects, sizes: Mapping[str, int],
            functions: Mapping[str, str], tracepoints: Mapping[str, str], root: str) -> None:
    lib = Programs(root)
    try:
        for name, one in found.maps.items():
            loaded.maps[name] = lib.create_map(name, one.kind, one.key_size, one.value_size,
                                               sizes.get(name, one.max_entries), one.flags)
        for name in RUN:
            code = found.programs[name].bound(loaded.maps)
            loaded.programs[name] = lib.load(name, ProgramKind.RAW_TRACEPOINT, code)
        for handler, function in functions.items():
            for side in _SIDES:
                program = f"{side}_{handler}"
                code = found.programs[program].bound(loaded.maps)
                key = f"{side}:{function}"
                if loaded.attach == "fentry":
                    kind = ProgramKind.FEXIT if side == "return" else ProgramKind.FENTRY
                    loaded.programs[key] = fd = lib.load(program, kind, code, function)
                    loaded.attached[key] = lib.open(fd)
                else:
                    loaded.programs[key] = fd = lib.load(program, ProgramKind.KPROBE, code)
                    loaded.attached[key] = attach_kprobe(function, fd, side == "return", root)
        for program, tracepoint in tracepoints.items():
            if program not in found.programs:
                continue
            code = found.programs[program].bound(loaded.maps)
            fd = lib.load(program, ProgramKind.RAW_TRACEPOINT, code)
            loaded.programs[program] = fd
            loaded.attached[program] = lib.open(fd, tracepoint)
    finally:
        lib.close()


def _cache_directory() -> Path:
    given = os.environ.get("CMAOBS_OBJECTS")
    return Path(given) if given else Path("/var/cache/cmaobs/objects")


def _kernel(root: str) -> bytes:
    """What tells one build of a kernel from another."""
    found = b""
    for path in ("proc/version", "sys/kernel/notes"):
        try:
            found += (Path(root) / path).read_bytes()
        except OSError:
            continue  # the other one tells, and the flags have the offsets
    return found
