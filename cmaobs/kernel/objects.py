# SPDX-License-Identifier: GPL-2.0
"""Compiled probes, and the cache that keeps them from one run to the next.

What is cached depends on nothing but its key: the C text, the compiler's flags (struct offsets and
function names are among them), and the kernel whose headers were used. It goes through the
kernel's verifier each time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_FORMAT = "1"
_KEPT = 32  # files in the directory; each takes 60 to 220 KB


class Map(NamedTuple):
    """What bpf_map_create() needs; sizes in bytes."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Instructions(NamedTuple):
    """code: struct bpf_insn, base64. maps: the map that the instruction at a byte offset loads."""

    code: str
    maps: Mapping[int, str]

    def bound(self, descriptors: Mapping[str, int]) -> bytes:
        """The instructions with the descriptors of this process's maps."""
        out = bytearray(base64.b64decode(self.code))
        for at, name in self.maps.items():
            out[at + 4:at + 8] = descriptors[name].to_bytes(4, "little")
        return bytes(out)


@dataclass(frozen=True, slots=True)
class Objects:
    """Maps and programs by name."""

    maps: Mapping[str, Map]
    programs: Mapping[str, Instructions]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: lists and strings."""
        return {"maps": self.maps, "programs": self.programs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Objects:
        """Raises ValueError, KeyError or TypeError where it is not that."""
        return cls({name: Map(*fields) for name, fields in data["maps"].items()},
                   {name: Instructions(code, {int(at): use for at, use in uses.items()})
                    for name, (code, uses) in data["programs"].items()})


def key(text: str, flags: Sequence[str], kernel: bytes) -> str:
    """The name under which the objects of this source for this kernel are kept.

    kernel: its build, /sys/kernel/notes and release.
    """
    parts = [_FORMAT.encode(), text.encode(), *(flag.encode() for flag in flags), kernel]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


class Cache:
    """A directory of objects that only this user can write."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str, make: Callable[[], Objects]) -> tuple[Objects, bool]:
        """The objects of that name, made if there are none; and whether they were there.

        A directory that others could write to is not used; nor is a file that makes no sense.
        Where nothing can be kept, all is as without a cache.
        """
        path = self._directory / f"{name}.json"
        if self._ours():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                return Objects.from_json(json.loads(path.read_text())), True
        made = make()
        with contextlib.suppress(OSError):
            self._put(path, json.dumps(made.to_json()))
        return made, False

    def _ours(self) -> bool:
        try:
            found = self._directory.lstat()
        except OSError:
            return False
        return (stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
                and not found.st_mode & 0o022)

    def _put(self, path: Path, text: str) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._ours():
            return
        with tempfile.NamedTemporaryFile("w", dir=self._directory, delete=False) as file:
            try:
                file.write(text)
                file.close()
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        kept = sorted(self._directory.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-_KEPT]:
            old.unlink(missing_ok=True)
