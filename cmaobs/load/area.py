# SPDX-License-Identifier: GPL-2.0
"""What an area is, and its knobs: the shrinker's scan file, batch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cmaobs.errors import CmaobsError, HostError, PrivilegeError, UnsupportedError, UsageError
from cmaobs.state import DEFAULT_AREAS, default_area

PAGE = os.sysconf("SC_PAGE_SIZE")
DEBUGFS = "sys/kernel/debug"
# 5.10 and 5.15 put "cma-" before the area's name in debugfs.
DIRECTORIES = ("cma/{}", "cma/cma-{}")
SHRINKER = "cma-shadow:"


def refused(what: Path | str, err: OSError) -> CmaobsError:
    """An error of the kernel's files as one of ours."""
    if err.errno in (1, 13):
        return PrivilegeError(f"{what}: {err.strerror}", "run it as root")
    return HostError(f"{what}: {err.strerror}", "see: cmaobs doctor")


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as err:
        raise refused(path, err) from err


def read_int(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Area:
    """One area, as far as this kernel shows it."""

    root: Path
    name: str
    debugfs: Path | None

    @property
    def heap(self) -> Path | None:
        # From 6.17 on the default area's heap has a name of its own.
        for name in (self.name, "default_cma_region" if self.name in DEFAULT_AREAS else self.name):
            path = self.root / "dev/dma_heap" / name
            if exists(path):
                return path
        return None

    @property
    def pages(self) -> int:
        """Size, from debugfs or else all of CMA's in /proc/meminfo."""
        count = read_int(self.debugfs / "count") if self.debugfs else None
        count = count or meminfo(self.root).get("CmaTotal", 0) * 1024 // PAGE
        if not count:
            raise UnsupportedError(
                "the kernel does not tell how large its CMA is",
                "boot with cma=64M, and a kernel with CMA, PROC_FS and better CMA_DEBUGFS",
            )
        return count

    @property
    def order_per_bit(self) -> int:
        return (read_int(self.debugfs / "order_per_bit") if self.debugfs else None) or 0

    def used(self) -> int | None:
        """Allocated pages, where debugfs tells. Deferred ones do not count."""
        return read_int(self.debugfs / "used") if self.debugfs else None

    @property
    def scan(self) -> Path:
        found = sorted((self.root / DEBUGFS / "shrinker").glob(f"{SHRINKER}{self.name}-*/scan"))
        if not found:
            raise UnsupportedError(f"no shrinker of area {self.name} in debugfs",
                                   "boot a kernel with the patch series and SHRINKER_DEBUG")
        return found[0]

    @property
    def batch(self) -> Path:
        path = self.root / "sys/kernel/mm/cma" / self.name / "batch"
        if not exists(path):
            raise UnsupportedError(f"{path} is missing",
                                   "boot a kernel with the patch series and CMA_SYSFS")
        return path


def meminfo(root: Path) -> dict[str, int]:
    """/proc/meminfo in KiB."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError as err:
        raise refused(root / "proc/meminfo", err) from err
    pairs = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split()}


def find(root: Path, name: str | None) -> Area:
    """The named area, or the only one, or the default one."""
    names = names_of(root)
    if not names:
        raise UnsupportedError(
            "no CMA area to be seen (debugfs, sysfs, dma_heap)",
            "boot with cma=64M, run as root, mount debugfs; see: cmaobs doctor",
        )
    chosen = name or default_area(names) or min(names)
    if chosen not in names:
        raise UsageError(f"no area {chosen!r}", f"choose one of: {', '.join(sorted(names))}")
    paths = (root / DEBUGFS / form.format(chosen) for form in DIRECTORIES)
    return Area(root, chosen, next((p for p in paths if exists(p)), None))


def names_of(root: Path) -> set[str]:
    names = {p.name.removeprefix("cma-") for p in listing(root / DEBUGFS / "cma")}
    names |= {p.name for p in listing(root / "sys/kernel/mm/cma")}
    heaps = {p.name for p in listing(root / "dev/dma_heap")} - {"system"}
    default = default_area(names) or DEFAULT_AREAS[0]
    return names | {default if n == "default_cma_region" else n for n in heaps}


def listing(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []
