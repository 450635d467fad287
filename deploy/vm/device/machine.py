# SPDX-License-Identifier: GPL-2.0
"""The QEMU command line. Of a PC virtme-run makes it, and this puts our own ends to its ports."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import arm64
from .spec import DeviceError, Spec, tool

GUEST = Path(__file__).with_name("guest.sh")
OVERLAYS = ("/etc", "/home", "/opt", "/root", "/srv", "/var")

# virtme's ports, and what they are here. The two dev_ ports have to exist.
PORTS = {
    "console": "console",
    "stdin": "control",
    "stdout": "stdout",
    "stderr": "stderr",
    "ret": "status",
    "dev_stdout": None,
    "dev_stderr": None,
}
COMMAND_LINE_MAX = 2047  # COMMAND_LINE_SIZE less the NUL

# The root does not change under the guest, so it may cache: Python starts four times as fast.
ALWAYS = (
    "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose",
    "loglevel=5",
    "oops=panic",
    "sysctl.kernel.softlockup_panic=1",
    "sysctl.kernel.hung_task_panic=1",
    "sysctl.kernel.hung_task_timeout_secs=300",  # emulation on a busy machine is slow, not hung
    "sysctl.kernel.watchdog_thresh=60",
    "net.ifnames=0",
    "root=root",  # a kernel without block devices mounts what is named, or nothing
)
PC = (
    "cma=64M",
    "pmtmr=0x608",  # SeaBIOS puts the PM timer there; without ACPI nothing tells the kernel
)


def qemu_binary(arch: str) -> str:
    if arch == "aarch64":
        return arm64.qemu_binary()
    return tool("qemu-system-x86_64", "qemu-system-x86")


def _virtme_run() -> str:
    beside = Path(sys.executable).with_name("virtme-run")
    found = str(beside) if beside.exists() else shutil.which("virtme-run")
    if not found:
        raise DeviceError("virtme-ng is not installed", "make setup, or pip install virtme-ng")
    return found


def command_line(
    spec: Spec, kvm: bool, ports: dict[str, int], shares: list[Path]
) -> tuple[list[str], list[int]]:
    """The guest's QEMU, and the descriptors that it needs besides the ports.

    ports: a connected socket for each name in PORTS.
    """
    parameters = (*ALWAYS, *(["loglevel=8"] if spec.verbose else []))
    if spec.arch == "aarch64":
        argv, kept = arm64.command_line(spec, (*parameters, *spec.append), ports)
        return [*argv, *_extras(spec, shares)], kept
    return _pc(spec, kvm, (*parameters, *PC, *spec.append), ports, shares)


def _pc(
    spec: Spec, kvm: bool, parameters: tuple[str, ...], ports: dict[str, int], shares: list[Path]
) -> tuple[list[str], list[int]]:
    argv = [
        *(_virtme_run(), "--kimg", str(spec.kernel), "--mods", "auto", "--force-9p"),
        *("--memory", spec.memory, "--cpus", str(spec.cpus), "--disable-microvm"),
        *("--script-sh", f"exec bash {shlex.quote(str(GUEST))}", "--show-boot-console"),
        *([] if kvm else ["--disable-kvm"]),
        *(f"--overlay-rwdir={d}" for d in OVERLAYS if _real_directory(Path(d))),
        *(f"--kopt={word}" for word in parameters),
        *("--dry-run", "--show-command"),
    ]
    qemu, kept = _ask(argv), []
    if "-initrd" in qemu:
        # With the kernel's modules. virtme-run's own is gone with it; this one has
        # no name, so that it goes with QEMU, however that ends.
        with tempfile.TemporaryDirectory(prefix="cmaobs-vm-") as scratch:
            path = Path(scratch) / "initramfs"
            qemu = _ask([*argv, f"--save-initramfs={path}"])
            kept.append(os.open(path, os.O_RDONLY))
        qemu[qemu.index("-initrd") + 1] = f"/proc/self/fd/{kept[0]}"
    length = len(qemu[qemu.index("-append") + 1].encode())
    if length > COMMAND_LINE_MAX:
        raise DeviceError(
            f"the kernel command line has {length} bytes, the kernel reads {COMMAND_LINE_MAX}",
            "shorten --append",
        )
    # A name below /dev/ would lose that part in 6.1 and keep it in 6.12.
    qemu = [word.replace("mount_tag=/dev/root", "mount_tag=root") for word in qemu]
    # The MP table, which a kernel without ACPI reads, has one CPU of each socket.
    qemu[qemu.index("-smp") + 1] = f"{spec.cpus},sockets={spec.cpus}"
    return [*_with_ports(qemu, ports), *_extras(spec, shares)], kept


def _real_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _ask(argv: list[str]) -> list[str]:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode or " -append " not in done.stdout:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no output"]
        raise DeviceError(f"virtme-run: {said[-1]}", _remedy(done.stderr))
    return shlex.split(done.stdout.splitlines()[-1])


def _remedy(stderr: str) -> str:
    if "busybox" in stderr:
        return "this kernel boots through an initramfs: apt-get install busybox-static"
    return "check --kernel; virtme-run is virtme-ng's"


def _with_ports(argv: list[str], ports: dict[str, int]) -> list[str]:
    out: list[str] = []
    seen = set()
    for word in argv:
        match = re.search(r"(?:^|,)id=(\w+)", word) if out and out[-1] == "-chardev" else None
        if match:
            ident = match[1]
            name = PORTS.get(ident)
            seen.add(ident)
            out.append(f"socket,id={ident},fd={ports[name]}" if name else f"null,id={ident}")
        else:
            out.append(word)
    if seen != set(PORTS):
        raise DeviceError(
            f"virtme-run made ports {sorted(seen)}, not {sorted(PORTS)}",
            "install the virtme-ng version that pyproject.toml names",
        )
    return out


def _extras(spec: Spec, shares: list[Path]) -> list[str]:
    argv: list[str] = []
    for number, path in enumerate(shares):
        where = str(path).replace(",", ",,")
        fs = f"local,id=share{number},path={where},security_model=none,multidevs=remap"
        argv += [
            *("-fsdev", fs),
            *("-device", f"virtio-9p-pci,fsdev=share{number},mount_tag=share{number}"),
        ]
    if spec.forward:
        host, guest = spec.forward
        argv += [
            *("-netdev", f"user,id=nh,restrict=on,hostfwd=tcp:127.0.0.1:{host}-10.0.2.15:{guest}"),
            *("-device", "virtio-net-pci,netdev=nh"),
        ]
    if spec.icount:
        argv += ["-icount", "shift=0"]
    return argv
