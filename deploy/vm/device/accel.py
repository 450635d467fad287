# SPDX-License-Identifier: GPL-2.0
"""KVM where it is proven to work, else software emulation.

/dev/kvm can exist and still not work, as in a virtual machine whose host allows
nesting but not all of it: QEMU then aborts, or the guest spins and never prints. So
the kernel itself is booted under KVM for a moment, without a root, which makes it panic
and leave. What came out is kept until this machine boots again.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

from .spec import PROJECT, DeviceError, Spec

DEADLINE = 6.0
MEMORY = PROJECT / "build" / "vm" / "kvm.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def choose(spec: Spec, qemu: str) -> tuple[bool, str]:
    """Whether to use KVM, and the reason in a few words."""
    if spec.icount:
        return False, "--icount counts instructions in emulation"
    if spec.accel == "tcg":
        return False, "as asked"
    if spec.arch != platform.machine():
        if spec.accel == "kvm":
            raise DeviceError(f"--accel kvm: the kernel is for {spec.arch}", "leave --accel out")
        return False, f"the kernel is for {spec.arch}"
    works, why = _remembered(spec.kernel, qemu)
    if spec.accel == "kvm":
        if not works:
            raise DeviceError(f"--accel kvm: {why}", "leave --accel out to use emulation")
        return True, "as asked"
    return works, why


def _remembered(kernel: Path, qemu: str) -> tuple[bool, str]:
    if not Path("/dev/kvm").exists():
        return False, "no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False, "no permission for /dev/kvm: add yourself to the group kvm"
    key = f"{_boot_id()} {qemu} {os.getuid()}"
    try:
        kept = json.loads(MEMORY.read_text())
        if kept["key"] == key:
            return bool(kept["works"]), str(kept["why"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not probed since this machine's boot
    works, why = _probe(kernel, qemu)
    _remember({"key": key, "works": works, "why": why})
    return works, why


def _remember(result: dict[str, object]) -> None:
    # Two guests may start at once: replace the file, never write into it.
    fresh = MEMORY.with_suffix(f".{os.getpid()}")
    try:
        MEMORY.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(result))
        fresh.replace(MEMORY)
    except OSError:
        fresh.unlink(missing_ok=True)  # a read-only checkout: probe again next time


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


def _probe(kernel: Path, qemu: str) -> tuple[bool, str]:
    argv = [
        *(qemu, "-accel", "kvm", "-cpu", "host", "-m", "256M", "-nodefaults"),
        *("-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel)),
        *("-append", "console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1"),
    ]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"KVM did not boot the kernel within {DEADLINE:.0f} s"
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode == 0 and "Linux version" in text:
        return True, "it booted a kernel"
    errors = [line for line in text.splitlines() if "qemu" in line]
    said = errors[0].partition("error: ")[2] or errors[0] if errors else "no output"
    return False, f"KVM does not work here: {said}"
