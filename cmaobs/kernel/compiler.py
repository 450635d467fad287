# SPDX-License-Identifier: GPL-2.0
"""Compiles the probes with bcc, in a process of its own that ends: LLVM takes some 80 MB.

    python -m cmaobs.kernel.compiler <REQUEST >OBJECTS

What comes out is no process's any more: instructions in which maps go by their names.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from cmaobs.errors import ProbeError
from cmaobs.kernel.objects import Instructions, Map, Objects

# include/uapi/linux/bpf.h
_LD_IMM64, _PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE = 0x18, 1, 2

_UNUSED = ("drm", "dt-bindings", "media", "net", "rdma", "scsi", "sound", "trace")  # of include/

FLAGS = ("-Xclang", "-disable-llvm-passes", "-g0")
"""Of every compilation: bcc optimises what clang gives it, so clang need not do so before, and its
debug information is not kept. That saves a third of the time."""


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


def compile_probes(text: str, flags: Sequence[str], maps: Sequence[str],
                   programs: Sequence[str], mode: str) -> Objects:
    """The named maps and programs of the C text.

    Raises ProbeError with the compiler's last telling line.
    """
    request = {"text": text, "flags": list(flags), "maps": list(maps),
               "programs": list(programs)}
    # An empty file of three random bytes for a name was once left where a compiler had run.
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([sys.executable, "-P", "-m", "cmaobs.kernel.compiler"],
                              input=json.dumps(request).encode(), stdout=subprocess.PIPE,
                              stderr=log, cwd=scratch, check=False)
        if done.returncode:
            log.seek(0)
            lines = [line for line in log.read().splitlines() if line.strip()]
            telling = [line for line in lines if "rror" in line or "not " in line] or lines
            what = telling[-1].strip() if telling else f"bcc ended with status {done.returncode}"
            raise ProbeError(f"the {mode} probes could not be compiled: {what}", _remedy(lines))
    return Objects.from_json(json.loads(done.stdout))


def _remedy(lines: list[str]) -> str:
    if any("No module named 'bcc'" in line for line in lines):
        return "install python3-bpfcc and run with /usr/bin/python3 or a venv that sees it"
    keep = os.environ.get("CMAOBS_LOADER_LOG")
    if keep:
        Path(keep).write_text("\n".join(lines) + "\n")
        return f"the compiler's output is in {keep}"
    return "run again with CMAOBS_LOADER_LOG=FILE to keep the compiler's output"


def _unpack_headers(archive: Path, installed: Path) -> None:
    """The kernel's own headers, into the current directory, where none are installed.

    bcc would do so under a name in /tmp that anyone can foretell; and where that is there, Debian's
    0.26 unpacks anew each time and has a shell run what lies in a buffer that it did not set.
    Ends the process where they cannot be unpacked.
    """
    if ("BCC_KERNEL_SOURCE" in os.environ or not archive.exists()
            or any((installed / name / "include").is_dir() for name in ("build", "source"))):
        return
    done = subprocess.run(["tar", "-xf", str(archive),
                           *(f"--exclude=./include/{name}" for name in _UNUSED)], check=False)
    if done.returncode:
        sys.exit(f"{archive} could not be unpacked in {Path.cwd()}: is there room?")
    os.environ["BCC_KERNEL_SOURCE"] = str(Path.cwd())


def _main() -> None:
    request = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # bcc writes its complaints there
    _unpack_headers(Path("/sys/kernel/kheaders.tar.xz"),  # CONFIG_IKHEADERS
                    Path("/lib/modules", os.uname().release))
    from bcc import BPF  # LLVM comes with it: here and nowhere else

    numbered = dict(enumerate(request["maps"]))
    bpf = BPF(text=request["text"], cflags=[
        *request["flags"], *(f"-DVALUE_{name}={number}" for number, name in numbered.items())])
    by_fd = {bpf[name].map_fd: name for name in request["maps"]}
    maps = {name: _map(fd) for fd, name in by_fd.items()}
    names = {_PSEUDO_MAP_FD: by_fd, _PSEUDO_MAP_VALUE: numbered}
    programs = {name: _named(bpf.dump_func(name.encode()), names)
                for name in request["programs"]}
    with answer:
        json.dump(Objects(maps, programs).to_json(), answer)
        answer.flush()
        os._exit(0)  # bcc's exit handlers have nothing to tidy up here


def _map(fd: int) -> Map:
    """What the kernel says of a map that it holds."""
    fields = dict(line.split(":", 1) for line in
                  Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    return Map(*(int(fields[name], 0) for name in (
        "map_type", "key_size", "value_size", "max_entries", "map_flags")))


def _named(code: bytes, names: Mapping[int, Mapping[int, str]]) -> Instructions:
    """Instructions with 0 for descriptors of maps, and which map belongs where.

    names: of maps, by how an instruction means one: bcc's descriptor where it is to be looked up
    in, the number behind VALUE_OF() of probes/maps.h where it goes straight to the value.
    """
    out, uses = bytearray(code), {}
    for at in range(0, len(code), 8):
        if code[at] == _LD_IMM64 and (means := code[at + 1] >> 4) in names:
            uses[at] = names[means][int.from_bytes(code[at + 4:at + 8], sys.byteorder)]
            out[at + 4:at + 8] = bytes(4)
    return Instructions(base64.b64encode(out).decode(), uses)


if __name__ == "__main__":
    _main()
