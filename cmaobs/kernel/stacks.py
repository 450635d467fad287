# SPDX-License-Identifier: GPL-2.0
"""Kernel stacks: numbers in records, addresses in BPF maps, names in /proc/kallsyms.

A slot of the map keeps its first stack for good (probes/maps.h), so it is read once, after the
first record that names it. Addresses change from boot to boot and tell where the kernel lies:
what leaves this file are names.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmaobs import wire
from cmaobs.events import RECORD
from cmaobs.kernel import held
from cmaobs.kernel.libbpf import Maps

Frames = tuple[str, ...]

_STACK = wire.Layout("cmaobs_stack")
_OFFSET = wire.offset("cmaobs_record", "stack") // 4
_STRIDE = RECORD.size // 4
_FRAMES = wire.constant("CMAOBS_STACK_FRAMES")
_SHIFT = wire.constant("CMAOBS_CALLER_SHIFT")
FILE = "proc/kallsyms"
_FAR = 1 << 20  # bytes behind a symbol that cannot be its function any more
_UNKNOWN = "?"
# How the probe itself comes about: it stands above the function that it is in.
_MACHINERY = re.compile(r"bpf_|kprobe|ftrace_|arch_ftrace|kretprobe|arch_rethook|opt_pre_handler")


def numbers(data: bytes) -> set[int]:
    """Stack numbers in whole structs cmaobs_record; 0 is none."""
    found = set(memoryview(data).cast("I")[_OFFSET::_STRIDE].tolist())
    found.discard(0)
    return found


class Stacks:
    """Stacks of the map, named. Holds the numbers only, and those are bounded by the maps' slots.

    callers: the map of return addresses that the kernel leaves out: on arm64 the probed function's
    own, which is in a register only when a kprobe there looks (arch/arm64/kernel/stacktrace.c).
    """

    def __init__(self, fd: int, callers: int, maps: Maps, root: str) -> None:
        self._fd, self._callers, self._maps = fd, callers, maps
        self._kallsyms = Path(root) / FILE
        self._known: set[int] = set()
        self._new: set[int] = set()

    def note(self, data: bytes) -> None:
        """Records have arrived."""
        if data:
            self._new |= numbers(data) - self._known

    def fresh(self) -> dict[int, Frames]:
        """The stacks that records named since the call before, each once."""
        if not self._new:
            return {}
        raw = {number: self._addresses(number) for number in sorted(self._new)}
        self._known |= self._new
        self._new.clear()
        with open(held.opened(self._kallsyms)) as lines:  # noqa: PTH123 - a descriptor
            names = symbolise({ip for ips in raw.values() for ip in ips}, lines)
        return {number: _callers([names[ip] for ip in ips]) for number, ips in raw.items()}


    def _addresses(self, number: int) -> tuple[int, ...]:
        """Innermost first."""
        caller, slot = divmod(number, 1 << _SHIFT)
        value = self._maps.lookup(self._fd, slot - 1, _STACK.size)
        ips = tuple(ip for ip in _STACK.unpack(value) if ip) if value else ()
        if not caller:
            return ips
        value = self._maps.lookup(self._callers, caller - 1, 8)
        return (*ips[:1], *struct.unpack("=Q", value or bytes(8)), *ips[1:])[:_FRAMES]


def symbolise(addresses: set[int], kallsyms: Iterable[str]) -> dict[int, str]:
    """name+0xoffset of each address, with [module] behind it; "?" where no function is near."""
    table = sorted(_functions(kallsyms))
    starts = [start for start, _, _ in table]
    found = {}
    for address in addresses:
        at = bisect_right(starts, address) - 1
        if at < 0 or address - starts[at] >= _FAR:
            found[address] = _UNKNOWN
            continue
        start, name, module = table[at]
        found[address] = f"{name}+{address - start:#x}{module}"
    return found


def _functions(kallsyms: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    for line in kallsyms:
        address, kind, name, *module = line.split()
        if kind in "tTwW" and (start := int(address, 16)):
            yield start, name, f" {module[0]}" if module else ""


def _callers(frames: list[str]) -> Frames:
    """From the probed function on, where the machinery of the probe stands above it."""
    skip = 0
    while skip < len(frames) and (frames[skip] == _UNKNOWN or _MACHINERY.match(frames[skip])):
        skip += 1
    return tuple(frames[skip:] or frames)
