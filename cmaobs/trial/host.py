# SPDX-License-Identifier: GPL-2.0
"""Which kernel, config and machine the runs were made on, as text by name."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from cmaobs.load.area import Area, meminfo

# Options that change what an allocation costs.
_OPTIONS = re.compile(
    r"^(?:# )?CONFIG_(CMA\w*|PREEMPT\w*|HZ|NR_CPUS|SMP|COMPACTION|MIGRATION|PAGE_OWNER|KASAN|"
    r"LOCKDEP|PROVE_LOCKING|DEBUG_VM|DEBUG_PAGEALLOC|INIT_ON_ALLOC_DEFAULT_ON|PAGE_POISONING|SWAP|"
    r"SHRINKER_DEBUG)(?:=.*| is not set)$", re.MULTILINE)
# Parameters of the kernel that do; the last of a kind counts.
_PARAMETERS = re.compile(r"(?:(?<=\s)|^)(?:\w*cma\w*|page_owner|debug_pagealloc|init_on_\w+|"
                         r"transparent_hugepage|mitigations|hugepages\w*)=\S+")


def facts(root: Path, area: Area) -> dict[str, str]:
    """All of it; what cannot be read is told as unknown."""
    name = os.uname()
    cpus = [line.partition(":")[2].strip() for line in _text(root / "proc/cpuinfo").splitlines()
            if line.startswith("model name")]
    config = _config(root, name.release)
    return {
        "kernel": f"{name.release} {name.version}",
        "parameters": " ".join(_PARAMETERS.findall(_text(root / "proc/cmdline"))) or "none",
        "config": ", ".join(match[0].removeprefix("# ").removeprefix("CONFIG_").replace(
            " is not set", "=n") for match in _OPTIONS.finditer(config)) or "unknown",
        "config SHA-256": hashlib.sha256(config.encode()).hexdigest() if config else "unknown",
        "machine": name.machine,
        "processors": f"{os.cpu_count()} x {cpus[0] if cpus else 'unknown'}",
        "emulated": _emulated(root),
        "memory": f"{meminfo(root).get('MemTotal', 0)} KiB",
        "swap": f"{meminfo(root).get('SwapTotal', 0)} KiB",
        "area": f"{area.name}, {area.pages} pages of {os.sysconf('SC_PAGE_SIZE')} bytes",
        "clock": _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
                       ).strip() or "unknown",
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _emulated(root: Path) -> str:
    """What the processor calls itself where it is QEMU's own."""
    cpuinfo = _text(root / "proc/cpuinfo")
    if "QEMU TCG" in cpuinfo or "QEMU Virtual CPU" in cpuinfo:
        return "yes: QEMU's software emulation; times are not those of any real machine"
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return "no, but a virtual machine"
    return "not that it says so"


def _config(root: Path, release: str) -> str:
    try:
        return gzip.decompress((root / "proc/config.gz").read_bytes()).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        return _text(root / f"boot/config-{release}")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
