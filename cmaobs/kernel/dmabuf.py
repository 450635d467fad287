# SPDX-License-Identifier: GPL-2.0
"""Which processes hold which dma-buf, from /proc, debugfs and sysfs below a root.

File descriptors: /proc/<pid>/fd links to "/dmabuf:<name>", /proc/<pid>/fdinfo has size, exp_name
and ino. Mappings: "/dmabuf:" in /proc/<pid>/maps. All buffers, also those that only the kernel
holds: debugfs dma_buf/bufinfo (drivers/dma-buf/dma-buf.c: dma_buf_debug_show) and
/sys/kernel/dmabuf/buffers (CONFIG_DMABUF_SYSFS_STATS). Nothing of it is one instant: a buffer that
changes hands meanwhile may show at both or at neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cmaobs.buffers import Buffer, Buffers, Use

_LINK = "/dmabuf:"
_PROCESS = 0x7FFFFFFF  # pid_max is below


@dataclass(slots=True)
class _Found:
    """A buffer in the making."""

    size: int = 0
    exporter: str = ""
    name: str = ""
    fds: dict[int, int] = field(default_factory=dict)
    maps: dict[int, int] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    references: int | None = None


def read(root: str | os.PathLike[str] = "/") -> Buffers:
    """Every dma-buf that can be seen; never raises for what is missing or went away meanwhile."""
    base = Path(root)
    found: dict[int, _Found] = {}
    listed = _bufinfo(base, found) | _sysfs(base, found)
    names: dict[int, str] = {}
    unreadable = 0
    for directory in _processes(base):
        pid = int(directory.name)
        try:
            held = _fds(directory, pid, found) | _maps(directory, pid, found)
        except PermissionError:
            unreadable += 1
            continue
        except OSError:  # the process has ended
            continue
        if held:
            names[pid] = _text(directory / "comm")
    return Buffers(tuple(_buffer(ino, one, names) for ino, one in sorted(found.items())),
                   unreadable, listed)


def _processes(base: Path) -> Iterator[Path]:
    with os.scandir(base / "proc") as entries:
        pids = sorted(int(entry.name) for entry in entries
                      if entry.name.isdecimal() and int(entry.name) <= _PROCESS)
    return (base / "proc" / str(pid) for pid in pids)


def _fds(directory: Path, pid: int, found: dict[int, _Found]) -> bool:
    held = False
    with os.scandir(directory / "fd") as entries:
        paths = [entry.path for entry in entries]
    for path in paths:
        try:
            if not os.readlink(path).startswith(_LINK):  # noqa: PTH115 - Path takes thrice the time
                continue
            info = _fdinfo((directory / "fdinfo" / Path(path).name).read_text())
            ino = int(info["ino"] if "ino" in info else Path(path).stat().st_ino)
        except (FileNotFoundError, ProcessLookupError):  # closed meanwhile
            continue
        if "exp_name" not in info:  # closed meanwhile, and the number taken by another file
            continue
        one = found.setdefault(ino, _Found())
        one.fds[pid] = one.fds.get(pid, 0) + 1
        one.size = int(info["size"])
        one.exporter, one.name = info["exp_name"], info.get("name", one.name)
        held = True
    return held


def _fdinfo(text: str) -> dict[str, str]:
    """The first value of each key: a buffer's name comes last and may hold anything."""
    info: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in text.split("\n")):
        info.setdefault(key, value.strip())
    return info


def _maps(directory: Path, pid: int, found: dict[int, _Found]) -> bool:
    text = (directory / "maps").read_text(errors="replace")
    if _LINK not in text:
        return False
    held = False
    for line in text.splitlines():
        # address perms offset dev inode pathname
        parts = line.split(None, 5)
        if len(parts) == 6 and parts[5].startswith(_LINK) and parts[4].isdecimal():
            one = found.setdefault(int(parts[4]), _Found())
            one.maps[pid] = one.maps.get(pid, 0) + 1
            one.name = one.name or parts[5].removeprefix(_LINK)
            held = True
    return held


def _bufinfo(base: Path, found: dict[int, _Found]) -> bool:
    """Whether debugfs lists buffers: size flags mode count exp_name ino name, tabs between."""
    text = _text(base / "sys/kernel/debug/dma_buf/bufinfo")
    one, attached = None, False
    for line in text.split("\n"):
        words = line.split("\t")
        if len(words) >= 6 and words[0].isdecimal() and words[5].strip().isdecimal():
            one = found.setdefault(int(words[5]), _Found())
            one.size, one.exporter = int(words[0]), words[4]
            one.references = int(words[3]) if words[3].isdecimal() else None
            name = words[6].strip() if len(words) > 6 else "<none>"
            one.name = "" if name == "<none>" else name
            attached = False
        elif line.startswith("Total"):
            one = None
        elif line == "\tAttached Devices:":  # fences stand before it
            attached = True
        elif one is not None and attached and line.startswith("\t"):
            one.devices = (*one.devices, line.strip())
    return bool(text)


def _sysfs(base: Path, found: dict[int, _Found]) -> bool:
    directory = base / "sys/kernel/dmabuf/buffers"
    try:
        entries = [entry for entry in directory.iterdir() if entry.name.isdecimal()]
    except OSError:
        return False
    for entry in entries:
        size, exporter = _text(entry / "size"), _text(entry / "exporter_name")
        if size.isdecimal():
            one = found.setdefault(int(entry.name), _Found())
            one.size, one.exporter = int(size), exporter
    return True


def _buffer(ino: int, one: _Found, names: dict[int, str]) -> Buffer:
    uses = tuple(Use(pid, names.get(pid, ""), one.fds.get(pid, 0), one.maps.get(pid, 0))
                 for pid in sorted({*one.fds, *one.maps}))
    return Buffer(ino, one.size, one.exporter, one.name, uses, one.devices, one.references)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
