# SPDX-License-Identifier: GPL-2.0
"""Compiles, loads and attaches the probes in a child process.

bcc brings LLVM, some 80 MB. The child passes the file descriptors of maps,
programs and attachments to its parent and ends, and LLVM's memory with it.
The kernel keeps what the descriptors stand for until the parent closes them,
or dies: nothing is left attached after a kill.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cmaobs.errors import ProbeError
from cmaobs.kernel.plan import Plan

MAPS = ("events", "config", "threads", "counters", "latencies", "losses", "flight", "snap")
STACKS = "stacks"  # a map as well, where stacks are asked for
_FD_ENV = "CMAOBS_LOADER_FD"


@dataclass(frozen=True, slots=True)
class Loaded:
    """File descriptors by name, and how long the compiler took.

    attached: one per probe; closing it detaches. attach: kprobe or fentry.
    """

    maps: dict[str, int]
    programs: dict[str, int]
    attached: dict[str, int]
    attach: str
    compile_seconds: float

    def close(self) -> None:
        """Detach first, then free maps and programs."""
        for fds in (self.attached, self.programs, self.maps):
            for fd in fds.values():
                os.close(fd)
            fds.clear()


def load(plan: Plan, ring_pages: int, max_threads: int, probes: bool = True,
         stacks: bool = False) -> Loaded:
    """Compile and attach as planned; probes False loads the snapshot reader only.

    stacks: compile the taking of kernel stacks in, and make the map for them.

    Raises ProbeError with the compiler's or verifier's last line.
    """
    modes = [plan.attach] if plan.attach == "kprobe" or not plan.fallback \
        else ["fentry", "kprobe"]
    for last, mode in enumerate(modes, start=1):
        try:
            return _load_once(plan, mode, ring_pages, max_threads, probes, stacks)
        except ProbeError:
            if last == len(modes):
                raise
    raise AssertionError("there is at least one way to attach")


def _load_once(plan: Plan, mode: str, ring_pages: int, max_threads: int,
               probes: bool, stacks: bool) -> Loaded:
    request = {"mode": mode, "functions": dict(plan.functions) if probes else {},
               "defines": {**plan.defines, "RING_PAGES": ring_pages, "MAX_THREADS": max_threads,
                           **({"WITH_STACKS": 1} if stacks else {})},
               "maps": [*MAPS, STACKS] if stacks else MAPS}
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile("w+") as log:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "cmaobs.kernel.loader"], stdin=subprocess.PIPE,
                stdout=log, stderr=log, pass_fds=[theirs.fileno()],
                env={**os.environ, _FD_ENV: str(theirs.fileno())})
        with child:
            assert child.stdin is not None
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
            answer, fds, _, _ = socket.recv_fds(ours, 1 << 16, 253)
        if not answer:
            log.seek(0)
            lines = [line for line in log.read().splitlines() if line.strip()]
            raise ProbeError(_explain(lines, child.returncode, mode), _remedy(lines))
    names = json.loads(answer)
    by_group: dict[str, dict[str, int]] = {"maps": {}, "programs": {}, "attached": {}}
    for (group, name), fd in zip(names["fds"], fds, strict=True):
        by_group[group][name] = fd
    return Loaded(**by_group, attach=mode, compile_seconds=names["seconds"])


def _explain(lines: list[str], status: int, mode: str) -> str:
    telling = [line for line in lines if "rror" in line or "not " in line] or lines
    what = telling[-1].strip() if telling else f"the loader ended with status {status}"
    return f"the {mode} probes could not be loaded: {what}"


def _remedy(lines: list[str]) -> str:
    if any("No module named 'bcc'" in line for line in lines):
        return "install python3-bpfcc and run with /usr/bin/python3 or a venv that sees it"
    keep = os.environ.get("CMAOBS_LOADER_LOG")
    if keep:
        Path(keep).write_text("\n".join(lines) + "\n")
        return f"the compiler's output is in {keep}"
    return "run again with CMAOBS_LOADER_LOG=FILE to keep the compiler's output"


def source(name: str) -> str:
    """A file of probes/ with those it includes put in their place.

    bcc rewrites the main file only: a map used in a header would stay as it
    is written. #line keeps the compiler's messages right.
    """
    lines = resources.files("probes").joinpath(name).read_text().splitlines()
    out = [f'#line 1 "probes/{name}"']
    for number, line in enumerate(lines, start=1):
        if line.startswith('#include "'):
            out += [source(line.split('"')[1]), f'#line {number + 1} "probes/{name}"']
        else:
            out.append(line)
    return "\n".join(out)


def _child() -> None:
    from bcc import BPF  # LLVM comes with it: here and nowhere else

    request = json.load(sys.stdin)
    started = time.monotonic()
    flags = [f"-D{name}={value}" for name, value in request["defines"].items()]
    fentry = request["mode"] == "fentry"
    if fentry and request["functions"]:
        flags.append("-DCMAOBS_FENTRY")
    bpf = BPF(text=source("cmaobs.bpf.c"), cflags=flags)

    named: list[tuple[str, str, int]] = [("maps", name, bpf[name].map_fd)
                                         for name in request["maps"]]
    for name in ("snapshot", "peek", "running"):
        function = bpf.load_func(name, BPF.RAW_TRACEPOINT)
        named.append(("programs", name, function.fd))
    for handler, function_name in request["functions"].items():
        named += _attach(bpf, handler, function_name, fentry)
    if request["functions"]:
        bpf.attach_raw_tracepoint(tp="sched_process_exit", fn_name="thread_exit")
        named.append(("attached", "thread_exit", bpf.raw_tracepoint_fds[b"sched_process_exit"]))
    answer = {"seconds": time.monotonic() - started,
              "fds": [(group, name) for group, name, _ in named]}
    with socket.socket(fileno=int(os.environ[_FD_ENV])) as sock:
        socket.send_fds(sock, [json.dumps(answer).encode()], [fd for _, _, fd in named])
    # bcc's exit handlers would disable the perf events that the parent now holds
    os._exit(0)


def _attach(bpf: Any, handler: str, function: str, fentry: bool) -> list[tuple[str, str, int]]:
    """Both probes of one function; the return first, so that no entry goes without."""
    named = []
    for side in ("return", "entry"):
        if fentry:
            # bcc attaches by the name's prefix when the program is loaded
            fds = bpf.kfunc_exit_fds if side == "return" else bpf.kfunc_entry_fds
            program, fd = next((name.decode(), fd) for name, fd in fds.items()
                               if name.decode().endswith(f"__{function}"))
        else:
            program = f"{side}_{handler}"
            attach = bpf.attach_kretprobe if side == "return" else bpf.attach_kprobe
            attach(event=function, fn_name=program)
            fd = next(fd for probe in bpf.kprobe_fds.values()
                      for name, fd in probe.items() if name == program.encode())
        named += [("attached", f"{side}:{function}", fd),
                  ("programs", f"{side}:{function}", bpf.funcs[program.encode()].fd)]
    return named


if __name__ == "__main__":
    _child()
