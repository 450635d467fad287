# SPDX-License-Identifier: GPL-2.0
"""What this kernel is and has: probed once into a frozen record.

Reads /proc and /sys below a root, so that a captured tree can stand in for a
kernel. Never decides by version number: vendors backport.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmaobs.errors import KernelReadError
from cmaobs.kernel.handlers import HANDLERS, ISOLATED, MUTEX, PHASES, TRACEPOINTS
from cmaobs.kernel.libbpf import Btf

FUNCTIONS = tuple(name for handler in HANDLERS.values() for name in handler.symbols)
INNER = tuple(dict.fromkeys((
    *(event.symbol for event in (*TRACEPOINTS.values(), ISOLATED)),
    *(event.symbol for phase in PHASES for event in phase.events.values()),
    *(name for phase in PHASES for row in phase.functions.values() for name in row.symbols))))
SYMBOLS = (
    *FUNCTIONS, *INNER, MUTEX, "cma_areas", "cma_area_count",
    "mem_section", "bpf_trampoline_link_prog", "register_ftrace_direct",
    "db_list", "debugfs_list", "dmabuf_list", "cma_heap_buf_ops",
    "bpf_get_current_task_btf", "ftrace_set_filter_ip", "kprobe_perf_func", "bpf_ringbuf_reserve",
)
STRUCTS = ("cma", "cma_memrange", "cma_defer_free_area", "shrink_control", "shrinker", "page",
           "mem_section")
# Of structs that are too large to keep whole.
MEMBERS = {"task_struct": ("flags", "comm"), "file": ("f_inode",), "inode": ("i_ino",),
           "dma_buf": ("size", "file", "ops", "priv", "list_node"),
           "cma_heap_buffer": ("cma_pages", "pagecount")}
BAD_CLOCKS = ("jiffies", "refined-jiffies")  # 1 to 10 ms a step


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; nothing here is a conclusion.

    symbols: address by name, 0 where addresses are hidden, for what exists.
    span: bytes from cma_areas to the next symbol, 0 if not known.
    structs: member offsets in bytes by struct, the size under ""; missing
    structs are absent. typed: names of the arguments of the functions that BTF describes.
    btf_error: why there is no BTF, or "".
    areas: names below /sys/kernel/mm/cma, None without CMA_SYSFS. policies: of those that have one,
    as far as their files may be read. direct: functions that another tracer has by fentry or
    fexit, as far as tracefs may be read.
    """

    release: str
    machine: str
    symbols: Mapping[str, int]
    span: int
    structs: Mapping[str, Mapping[str, int]]
    typed: Mapping[str, tuple[str, ...]]
    btf_error: str
    kallsyms_error: str
    headers: str
    kprobe_pmu: bool
    clocksource: str
    areas: tuple[str, ...] | None
    root_user: bool
    capabilities: int
    lockdown: str
    policies: Mapping[str, str] = field(default_factory=dict)
    direct: tuple[str, ...] = ()


def probe(root: str | os.PathLike[str] = "/") -> Facts:
    """Read the facts below root.

    Never raises for what is missing: that is a fact. Raises KernelReadError
    where root has no /proc at all.
    """
    base = Path(root)
    if not (base / "proc").is_dir():
        raise KernelReadError(f"{base}: no /proc below it",
                              "give --root a directory with proc and sys in it")
    release = _text(base / "proc/sys/kernel/osrelease") or platform.release()
    symbols, span, kallsyms_error = _kallsyms(base / "proc/kallsyms")
    structs, typed, btf_error = _btf(base / "sys/kernel/btf/vmlinux")
    sysfs = base / "sys/kernel/mm/cma"
    return Facts(
        release=release,
        machine=_text(base / "proc/sys/kernel/arch") or platform.machine(),
        symbols=symbols, span=span, kallsyms_error=kallsyms_error,
        structs=structs, typed=typed, btf_error=btf_error,
        headers=_headers(base, release),
        kprobe_pmu=bool(_text(base / "sys/bus/event_source/devices/kprobe/type")),
        clocksource=_text(
            base / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        areas=tuple(sorted(p.name for p in sysfs.iterdir())) if sysfs.is_dir() else None,
        root_user=os.geteuid() == 0,
        capabilities=_capabilities(base / "proc/self/status"),
        lockdown=_lockdown(base / "sys/kernel/security/lockdown"),
        policies={file.parent.name: policy for file in sorted(sysfs.glob("*/policy"))
                  if (policy := _text(file))},
        direct=_direct(_text(base / "sys/kernel/tracing/enabled_functions")),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _kallsyms(path: Path) -> tuple[dict[str, int], int, str]:
    try:
        text = path.read_bytes()
    except OSError as error:
        return {}, 0, f"{path}: {error.strerror}"
    pattern = rb"^([0-9a-f]+) \w (" + b"|".join(s.encode() for s in SYMBOLS) + rb")$"
    found = {match[2].decode(): int(match[1], 16)
             for match in re.finditer(pattern, text, re.MULTILINE)}
    start = found.get("cma_areas", 0)
    span = 0
    if start:
        addresses = (int(m[1], 16) for m in
                     re.finditer(rb"^([0-9a-f]+) \w \S+$", text, re.MULTILINE))
        span = min((a for a in addresses if a > start), default=start) - start
    return found, span, ""


def _btf(path: Path) -> tuple[dict[str, Mapping[str, int]], dict[str, tuple[str, ...]], str]:
    if not path.exists():
        return {}, {}, f"{path} does not exist"
    try:
        btf = Btf(os.fspath(path))
    except KernelReadError as error:
        return {}, {}, error.message
    structs: dict[str, Mapping[str, int]] = {
        name: members for name in STRUCTS
        if (members := btf.struct(name)) is not None}
    structs |= {name: {member: offset for member, offset in members.items() if member in wanted}
                for name, wanted in MEMBERS.items()
                if (members := btf.struct(name)) is not None}
    typed = {name: found for name in (*FUNCTIONS, *INNER)
             if (found := btf.arguments(name)) is not None}
    btf.close()
    return structs, typed, ""


def _headers(base: Path, release: str) -> str:
    """Where bcc finds kernel headers, or "" if nowhere."""
    build = base / "lib/modules" / release / "build"
    if build.is_dir():
        return os.fspath(build)
    archive = base / "sys/kernel/kheaders.tar.xz"
    return os.fspath(archive) if archive.exists() else ""


def _capabilities(path: Path) -> int:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", _text(path), re.MULTILINE)
    return int(match[1], 16) if match else 0


def _direct(enabled: str) -> tuple[str, ...]:
    """Functions of ours that are entered by a direct call: D in kernel/trace/ftrace.c, t_show()."""
    names = re.findall(r"^(\S+) \(\d+\)[ A-Z]* D\b", enabled, re.MULTILINE)
    return tuple(sorted(set(names) & {*FUNCTIONS, *INNER}))


def _lockdown(path: Path) -> str:
    match = re.search(r"\[(\w+)\]", _text(path))
    return match[1] if match else ""
