# SPDX-License-Identifier: GPL-2.0
"""What else can be attached where cmaobs is: nothing but the attachment, and three other tools.

Each is a context in which pairs are made; at its end each says how many operations it saw, which
must be what was made, or the measure is of something else. Raises RuntimeError where it is not.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import pairs

from cmaobs.kernel import facts, plan
from cmaobs.kernel.libbpf import ProgramKind, Programs
from cmaobs.kernel.perf import attach_kprobe

DEBUG = Path("/sys/kernel/debug")
FUNCTIONS = ("cma_alloc", "cma_release", "alloc_contig_range", "free_contig_range")
RETURN_0 = bytes.fromhex("b700000000000000" "9500000000000000")  # r0 = 0; exit
DEADLINE_S = 300.0
PROGRAM = """
PROBE:cma_alloc { @a[tid] = nsecs; @c[tid] = 0; }
PROBE:alloc_contig_range /@a[tid]/ { @c[tid] = 1; }
RETURN:cma_alloc /@a[tid]/ {
    $ns = nsecs - @a[tid];
    if (retval == 0) { @alloc_failed = hist($ns); }
    else if (@c[tid]) { @alloc_contig = hist($ns); }
    else { @alloc_hit = hist($ns); }
    delete(@a[tid]); delete(@c[tid]);
}
PROBE:cma_release { @r[tid] = nsecs; @f[tid] = 0; }
PROBE:free_contig_range /@r[tid]/ { @f[tid] = 1; }
RETURN:cma_release /@r[tid]/ {
    $ns = nsecs - @r[tid];
    if (@f[tid]) { @release_direct = hist($ns); } else { @release_deferred = hist($ns); }
    delete(@r[tid]); delete(@f[tid]);
}
"""


@contextlib.contextmanager
def empty(attach: plan.Attach) -> Iterator[None]:
    """Programs that return at once, on the functions and events that cmaobs attaches to."""
    planned = plan.make(facts.probe("/"), attach)
    lib, fds = Programs("/"), []
    try:
        for function in planned.functions.values():
            for returns in (True, False):
                if attach == "fentry":
                    kind = ProgramKind.FEXIT if returns else ProgramKind.FENTRY
                    fds += [fd := lib.load("empty", kind, RETURN_0, function), lib.open(fd)]
                else:
                    fds += [fd := lib.load("empty", ProgramKind.KPROBE, RETURN_0),
                            attach_kprobe(function, fd, returns, "/")]
        for event in (*planned.tracepoints.values(), "cma_release"):
            fds += [fd := lib.load("empty", ProgramKind.RAW_TRACEPOINT, RETURN_0),
                    lib.open(fd, event)]
        yield
    finally:
        for fd in reversed(fds):
            os.close(fd)
        lib.close()


def bpftrace(attach: str) -> contextlib.AbstractContextManager[None]:
    """The same histograms by path, as bpftrace makes them."""
    entry, back = ("kfunc", "kretfunc") if attach == "fentry" else ("kprobe", "kretprobe")
    text = PROGRAM.replace("PROBE:", f"{entry}:").replace("RETURN:", f"{back}:")
    return _tool(["bpftrace", "-e", text], _attached(attach), _histograms, 2 * pairs.MADE)


def funclatency() -> contextlib.AbstractContextManager[None]:
    """bcc's funclatency: a histogram for each of two functions, by kprobes.

    Only the outer ones: it keeps one start a thread, and loses that of a function around another.
    """
    return _tool(["funclatency-bpfcc", "-F", "-r", "^cma_(alloc|release)$"],
                 _attached("kprobe", FUNCTIONS[:2]), _histograms, 2 * pairs.MADE)


def perf_stat() -> contextlib.AbstractContextManager[None]:
    """perf, counting the trace events of cma."""
    return _tool(["perf", "stat", "-a", "-e", "cma:*"], _opened, _counted, pairs.MADE)


@contextlib.contextmanager
def perf_record() -> Iterator[None]:
    """perf, writing the trace events of cma to a file."""
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/perf.data"
        with _tool(["perf", "record", "-q", "-a", "-e", "cma:*", "-o", file], _opened):
            yield
        text = subprocess.run(["perf", "script", "-i", file, "-F", "event"], check=True,
                              capture_output=True, text=True).stdout
        _compare("perf record", text.count("cma:cma_release:"), pairs.MADE)


@contextlib.contextmanager
def _tool(command: Sequence[str], ready: Callable[[int], bool],
          seen: Callable[[str], int] | None = None, made: int = 0) -> Iterator[None]:
    """Run it until it is attached and for as long as the context lasts; seen: by what it prints."""
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(command, stdout=output, stderr=output) as task:
            try:
                ends = time.monotonic() + DEADLINE_S
                while not ready(task.pid):
                    if task.poll() is not None or time.monotonic() > ends:
                        output.seek(0)
                        raise RuntimeError(f"{command[0]} did not attach: {output.read()[-500:]}")
                    time.sleep(0.5)
                time.sleep(5)  # what it still does first
                yield
            finally:
                task.send_signal(signal.SIGINT)
                task.wait(DEADLINE_S)
        if seen is not None:
            output.seek(0)
            _compare(command[0], seen(output.read()), made)


def _compare(what: str, seen: int, made: int) -> None:
    if seen != made:
        raise RuntimeError(f"{what} saw {seen} operations of {made}")


def _attached(attach: str, functions: Sequence[str] = FUNCTIONS) -> Callable[[int], bool]:
    file = DEBUG / ("tracing/enabled_functions" if attach == "fentry" else "kprobes/list")

    def ready(_pid: int) -> bool:
        text = file.read_text()
        return all(re.search(rf"\b{name}\b", text) for name in functions)
    return ready


def _opened(pid: int) -> bool:
    """Whether the process has a descriptor of each of the four trace events."""
    names = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(os.readlink(path))
    return names.count("anon_inode:[perf_event]") >= 4


def _histograms(text: str) -> int:
    """Sum of all histograms, bpftrace's ("[256, 512)  7 |@") and bcc's ("256 -> 511 : 7 |*")."""
    return sum(int(count) for count in
               re.findall(r"^(?:\[.*\)| *\d+ -> \d+ *:) +(\d+) +\|", text, re.MULTILINE))


def _counted(text: str) -> int:
    """Of perf stat."""
    found = re.search(r"([\d,.]+) +cma:cma_release\b", text)
    return int(re.sub(r"\D", "", found[1])) if found else 0
