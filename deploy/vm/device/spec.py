# SPDX-License-Identifier: GPL-2.0
"""What was asked for, checked before anything is started."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
DEFAULT_KERNEL = PROJECT / "build" / "kernel" / "device" / "bzImage"
GUEST_PORT = 9759

# Documentation/x86/boot.rst, Documentation/arm64/booting.rst
_MAGIC = {"x86_64": (0x202, b"HdrS"), "aarch64": (0x38, b"ARM\x64")}

# What the command in the guest gets of the caller's environment.
PASSED = ("LANG", "LC_ALL", "TERM", "NO_COLOR", "CI", "DURATION")
PASSED_PREFIXES = ("CMAOBS_", "PYTEST_", "HYPOTHESIS_")


class DeviceError(Exception):
    """Nothing was booted: exit status 2. One line, and one line of remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True)
class Spec:
    """One guest."""

    command: tuple[str, ...]
    kernel: Path
    arch: str = "x86_64"  # as uname -m has it
    append: tuple[str, ...] = ()
    cpus: int = 2
    memory: str = "1G"
    forward: tuple[int, int] | None = None  # host port, guest port
    timeout: float | None = None
    boot_timeout: float | None = None
    accel: str = "auto"
    icount: bool = False
    console: Path | None = None
    verbose: bool = False
    quiet: bool = False


def kernel_image(given: str | None) -> tuple[Path, str]:
    """The image to boot: the given one, CMAOBS_KERNEL's, or the built one; and its architecture."""
    name = given or os.environ.get("CMAOBS_KERNEL")
    path = Path(name) if name else DEFAULT_KERNEL
    if not path.is_file():
        if name:
            raise DeviceError(f"{path}: no such kernel image", "name a bzImage or vmlinuz file")
        raise DeviceError("the device's kernel is not built", "deploy/kernel/build")
    try:
        with path.open("rb") as image:
            head = image.read(0x210)
    except OSError as err:
        raise DeviceError(f"{path}: {err.strerror}", "make the image readable") from err
    for arch, (at, magic) in _MAGIC.items():
        if head[at : at + 4] == magic:
            return path.resolve(), arch
    raise DeviceError(
        f"{path}: not a kernel image of x86 or arm64",
        "name the bzImage, vmlinuz or Image, not vmlinux or an archive",
    )


def tool(name: str, package: str) -> str:
    """Where a program of the host's is."""
    found = shutil.which(name)
    if not found:
        raise DeviceError(f"{name} is not installed", f"apt-get install {package}")
    return found


def memory(text: str) -> str:
    match = re.fullmatch(r"([1-9][0-9]*)([MG])", text)
    if not match:
        raise DeviceError(f"--memory {text}: not a size", "write it as 512M or 2G")
    if int(match[1]) * (1024 if match[2] == "G" else 1) < 256:
        raise DeviceError(f"--memory {text}: the guest needs 256M to boot", "--memory 256M")
    return text


def forward(text: str) -> tuple[int, int]:
    """PORT or PORT:GUEST-PORT, with PORT free on the host's 127.0.0.1."""
    match = re.fullmatch(r"([0-9]{1,5})(?::([0-9]{1,5}))?", text)
    ports = (int(match[1]), int(match[2] or GUEST_PORT)) if match else (0, 0)
    if not all(0 < port < 65536 for port in ports):
        raise DeviceError(f"--forward {text}: not a port", "--forward 9759")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", ports[0]))
        except OSError as err:
            raise DeviceError(
                f"--forward {text}: 127.0.0.1:{ports[0]}: {err.strerror}",
                "choose another port, or end what listens there: ss -ltnp",
            ) from err
    return ports


def append(texts: list[str]) -> tuple[str, ...]:
    words: list[str] = []
    for text in texts:
        try:
            words += shlex.split(text)
        except ValueError as err:
            raise DeviceError(f"--append {text}: {err}", "close the quotation") from err
    if any('"' in word for word in words):
        raise DeviceError("--append: a parameter holds a double quote", "leave it out")
    return tuple(words)


def environment() -> dict[str, str]:
    """The command's environment in the guest."""
    venv = PROJECT / ".venv" / "bin"
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if venv.is_dir():
        path = f"{venv}:{path}"
    env = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "CMAOBS_DEVICE": "1",
           "CMAOBS_OBJECTS": str(objects())}
    for name, value in os.environ.items():
        if name in PASSED or name.startswith(PASSED_PREFIXES):
            env[name] = value
    env.pop("CMAOBS_KERNEL", None)
    return env


def objects() -> Path:
    """Where the guest keeps the probes that it compiled: outlives the guest and the checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache.resolve() / "cmaobs" / "objects"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return PROJECT / "build" / "objects"
    return path


def shares() -> list[Path]:
    """The host's directories that the guest may write to, outermost first."""
    wanted = {PROJECT, Path.cwd().resolve(), objects()}
    if Path("/") in wanted:
        raise DeviceError("called from /: all of it would be writable", "cd somewhere else")
    return sorted(p for p in wanted if not any(q in p.parents for q in wanted))
