# SPDX-License-Identifier: GPL-2.0
"""Parses the C headers that Python reads, and builds the fast lane if there is a C compiler."""

import hashlib
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

sys.path.insert(0, "")  # a build is isolated from the directory that it is of
from cmaobs import declared

LANE = Path("cmaobs/lane")
SOURCES = sorted([*LANE.glob("*.[ch]"), Path("probes/wire.h")])
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()

LINK_TIME = "-flto=auto"  # what is short is inlined wherever it is called


class BuildLane(build_ext):
    """Optimized as a whole, where compiler and linker can do that."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (CompileError, LinkError):
            for flags in (ext.extra_compile_args, ext.extra_link_args):
                flags.remove(LINK_TIME)
            super().build_extension(ext)


declared.keep([path.read_text() for path in (Path("probes/wire.h"), LANE / "lane.h")])
setup(cmdclass={"build_ext": BuildLane}, ext_modules=[Extension(
    "cmaobs.lane._lane",
    sources=[str(path) for path in SOURCES if path.suffix == ".c"],
    depends=[str(path) for path in SOURCES if path.suffix == ".h"],
    include_dirs=["probes"],
    define_macros=[("LANE_DIGEST", f'"{DIGEST}"')],
    extra_compile_args=["-std=gnu11", "-O3", "-Wall", "-Wextra", "-ffp-contract=off",
                        "-fno-semantic-interposition", LINK_TIME],
    extra_link_args=["-O3", LINK_TIME],
    libraries=["m"],
    optional=True,  # without it, the cross-check does the same, slower
)])
