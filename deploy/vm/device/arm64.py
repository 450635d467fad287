# SPDX-License-Identifier: GPL-2.0
"""The QEMU command line of an arm64 guest: a root of its own, and areas from a device tree."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .spec import PROJECT, DeviceError, Spec, tool

ROOT = PROJECT / "build" / "vm" / "arm64"
AREAS = Path(__file__).with_name("areas.dts")
COMMAND_LINE_MAX = 2047  # COMMAND_LINE_SIZE of arm64 less the NUL

# Our ends, and the names that guest.sh has from virtme.
PORTS = {"control": "virtme.stdin", "stdout": "virtme.stdout", "stderr": "virtme.stderr",
         "status": "virtme.ret"}
# Without pointer authentication, which takes long to emulate; a core that many boards have.
CPU = "cortex-a72"
INIT = ("mount -t 9p -o version=9p2000.L,trans=virtio,access=any,ro,msize=524288,cache=loose "
        "project /mnt && exec bash /mnt/deploy/vm/device/init.sh {project}")


def command_line(spec: Spec, parameters: tuple[str, ...], ports: dict[str, int]
                 ) -> tuple[list[str], list[int]]:
    """The guest's QEMU, and the descriptors that it needs besides the ports.

    parameters: of the kernel. ports: a connected socket for each of PORTS and the console.
    """
    if not ROOT.is_dir():
        raise DeviceError("the arm64 device's root file system is not made", "deploy/vm/arm64")
    words = ["console=ttyAMA0", "panic=-1", "rootfstype=9p", "ro", *parameters, "init=/bin/sh",
             "--", "-c", f'"{INIT.format(project=PROJECT)}"']
    if len(line := " ".join(words)) > COMMAND_LINE_MAX:
        raise DeviceError(
            f"the kernel command line has {len(line)} bytes, the kernel reads {COMMAND_LINE_MAX}",
            "shorten --append")
    machine = [qemu_binary(), "-M", "virt", "-cpu", CPU, "-m", spec.memory,
               "-smp", str(spec.cpus), "-nodefaults", "-display", "none", "-no-reboot"]
    tree = _device_tree(machine)
    argv = [*machine, "-kernel", str(spec.kernel), "-dtb", f"/proc/self/fd/{tree}",
            "-append", line, "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=console,fd={ports['console']}", "-serial", "chardev:console"]
    for ours, name in PORTS.items():
        argv += ["-chardev", f"socket,id={ours},fd={ports[ours]}",
                 "-device", f"virtserialport,chardev={ours},name={name}"]
    for tag, path in (("root", ROOT.resolve()), ("project", PROJECT)):
        where = str(path).replace(",", ",,")
        argv += ["-fsdev", f"local,id={tag},path={where},security_model=none,readonly=on,"
                 "multidevs=remap", "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return argv, [tree]


def qemu_binary() -> str:
    """QEMU for arm64."""
    return tool("qemu-system-aarch64", "qemu-system-arm")


def _device_tree(machine: list[str]) -> int:
    """A descriptor of QEMU's own tree for this machine, with AREAS added."""
    dtc = tool("dtc", "device-tree-compiler")
    with tempfile.TemporaryDirectory(prefix="cmaobs-vm-") as scratch:
        dumped, source, made = (Path(scratch) / name for name in ("dumped", "source", "made"))
        at = machine.index("-M") + 1
        _run([*machine[:at], f"virt,dumpdtb={dumped}", *machine[at + 1:]])
        _run([dtc, "-q", "-I", "dtb", "-O", "dts", "-o", str(source), str(dumped)])
        with source.open("a") as text:
            text.write(AREAS.read_text())
        _run([dtc, "-q", "-I", "dts", "-O", "dtb", "-o", str(made), str(source)])
        return os.open(made, os.O_RDONLY)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no output"]
        raise DeviceError(f"{Path(argv[0]).name}: {said[-1]}", "check areas.dts")
