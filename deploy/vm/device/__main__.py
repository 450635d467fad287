# SPDX-License-Identifier: GPL-2.0
"""The command line of deploy/vm/run."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import sys
from pathlib import Path
from typing import NoReturn

from . import accel, machine, spec
from .session import SILENCE, SILENCE_ICOUNT, Lost, Session, note
from .spec import DeviceError, Spec

EPILOG = """\
The command runs as root, in the directory from which this was called, with debugfs,
tracefs, bpffs and a tmpfs on /tmp, the project's .venv/bin first on PATH, and no stdin.
Of the host's files it sees all and can change two directories: the one from which this
was called, and the project's. What it writes elsewhere is gone with the guest.
Of the environment it gets LANG, LC_ALL, TERM, NO_COLOR, CI, DURATION, CMAOBS_*, PYTEST_*
and HYPOTHESIS_*. Ctrl-C and SIGTERM are passed to it; a second one, or 300 s, end the guest.

exit status:
  the command's own, or
  2    nothing was booted: usage, or something is missing on this machine
  124  the guest did not finish within --timeout
  125  the guest died: panic, oops, hang, no boot; the end of its console is shown

examples:
  deploy/vm/run -- uname -a
  deploy/vm/run -- cmaobs doctor
  deploy/vm/run --append "cma_defer_batch=64" -- cat /sys/kernel/mm/cma/reserved/batch
  deploy/vm/run --append "cma_test_areas=camera:16M,codec:16M:2" -- ls /sys/kernel/debug/cma
  deploy/vm/run --forward 9759 --timeout 600 -- cmaobs serve --listen 0.0.0.0:9759
  deploy/vm/run --kernel /boot/vmlinuz-6.1.0-37-amd64 -- cmaobs doctor
  CMAOBS_KERNEL=$(deploy/kernel/build --arch arm64) deploy/vm/run -- cmaobs doctor
  deploy/vm/run --verbose --console boot.log -- bash -c 'dmesg > dmesg.txt'
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DeviceError(message, "deploy/vm/run --help")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e7:
        raise ValueError(text)
    return value


def _cpus(text: str) -> int:
    value = int(text)
    if not 0 < value <= 64:
        raise ValueError(text)
    return value


_seconds.__name__, _cpus.__name__ = "seconds", "number of CPUs"


def parser() -> Parser:
    p = Parser(
        prog="deploy/vm/run",
        usage="deploy/vm/run [options] -- COMMAND...",
        description="Runs a command in the device, a QEMU guest on this machine's own files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument(
        "--kernel",
        metavar="IMAGE",
        help="kernel image; default: $CMAOBS_KERNEL, or what deploy/kernel/build made",
    )
    p.add_argument(
        "--append",
        metavar="ARGS",
        action="append",
        default=[],
        help="more kernel parameters; the last of a kind counts (cma=64M is there on a PC)",
    )
    p.add_argument("--cpus", metavar="N", type=_cpus, help="default: 2, or 1 with --icount")
    p.add_argument("--memory", metavar="SIZE", default="1G", help="default: 1G")
    p.add_argument(
        "--forward",
        metavar="PORT[:GUEST]",
        help="127.0.0.1:PORT here reaches 0.0.0.0:GUEST there; default GUEST: 9759",
    )
    p.add_argument("--timeout", metavar="S", type=_seconds, help="default: none")
    p.add_argument(
        "--boot-timeout",
        metavar="S",
        type=_seconds,
        help="until the command starts; default: 60 with KVM, else 180",
    )
    p.add_argument(
        "--accel",
        choices=("auto", "kvm", "tcg"),
        default="auto",
        help="auto: KVM if a probe of a few seconds boots, else emulation (tcg)",
    )
    p.add_argument(
        "--icount",
        action="store_true",
        help="guest time counts instructions, so that measurements repeat",
    )
    p.add_argument("--console", metavar="FILE", type=Path, help="keep all of the console here")
    p.add_argument("--verbose", action="store_true", help="console to stderr, with all messages")
    p.add_argument("--quiet", action="store_true", help="no line about acceleration")
    return p


def parse(argv: list[str]) -> Spec:
    own, _, command = _split(argv)
    given = parser().parse_args(own)
    if not command:
        raise DeviceError("no command to run", "deploy/vm/run [options] -- COMMAND...")
    if given.icount and (given.cpus or 1) > 1:
        raise DeviceError("--icount with more than one CPU does not boot", "leave --cpus out")
    kernel, arch = spec.kernel_image(given.kernel)
    return Spec(
        command=tuple(command),
        kernel=kernel,
        arch=arch,
        append=spec.append(given.append),
        cpus=given.cpus or (1 if given.icount else 2),
        memory=spec.memory(given.memory),
        forward=spec.forward(given.forward) if given.forward is not None else None,
        timeout=given.timeout,
        boot_timeout=given.boot_timeout,
        accel=given.accel,
        icount=given.icount,
        console=given.console,
        verbose=given.verbose,
        quiet=given.quiet,
    )


def _split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in argv:
        return argv, "", []
    at = argv.index("--")
    return argv[:at], "--", argv[at + 1 :]


def script(s: Spec, shares: list[Path]) -> bytes:
    """What guest.sh reads from its control port."""
    words = [f"mount share{n} {path}" for n, path in enumerate(shares)]
    words += ["forward"] if s.forward else []
    words += [f"cd {Path.cwd().resolve()}"]
    words += [f"env {name}={value}" for name, value in spec.environment().items()]
    words += [f"arg {word}" for word in s.command]
    return b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in [*words, "go"])


def precompile() -> None:
    """Python's bytecode of the project, where it is missing or old.

    The guest sees these directories read-only and would compile them at each start.
    """
    for part in ("cmaobs", "probes", "tests"):
        compileall.compile_dir(spec.PROJECT / part, quiet=2)


def run(s: Spec) -> int:
    precompile()
    shares = spec.shares()
    kvm, why = accel.choose(s, machine.qemu_binary(s.arch))
    if not s.quiet:
        note(f"{'KVM' if kvm else 'software emulation'} ({why})")
    with contextlib.ExitStack() as stack:
        try:
            log = stack.enter_context(s.console.open("wb")) if s.console else None
        except OSError as err:
            raise DeviceError(
                f"--console {s.console}: {err.strerror}", "name a file to write"
            ) from err
        session = Session(
            s.timeout,
            s.boot_timeout or (60 if kvm else 180),
            SILENCE_ICOUNT if s.icount else SILENCE,
            log,
            s.verbose,
        )
        argv, kept = machine.command_line(s, kvm, session.ports(), shares)
        try:
            return session.run(argv, kept, script(s, shares))
        except Lost as err:
            note(f"error: {err}")
            tail = session.console.tail()
            if tail and not s.verbose:
                note(f"the last {len(tail)} lines of its console:")
                print(*(f"    {line}" for line in tail), sep="\n", file=sys.stderr)
            return err.status


def main() -> int:
    try:
        return run(parse(sys.argv[1:]))
    except DeviceError as err:
        print(f"error: {err.message}\n  remedy: {err.remedy}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
