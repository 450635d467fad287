# SPDX-License-Identifier: GPL-2.0
"""Finds the compiled lane and checks that it was built from the sources beside it."""

from __future__ import annotations

import functools
import hashlib
import os
from importlib import machinery, resources
from importlib.resources.abc import Traversable
from typing import Any

from cmaobs import declared, wire


@functools.cache
def load() -> tuple[Any, Any, str]:
    """(ffi, library, "") or (ffi, None, why there is none)."""
    here = resources.files("cmaobs.lane")
    ffi = declared.ffi(here.joinpath("lane.h").read_text())
    if os.environ.get("CMAOBS_LANE") == "off":
        return ffi, None, "switched off by CMAOBS_LANE=off"
    found = [entry for suffix in machinery.EXTENSION_SUFFIXES
             if (entry := here.joinpath(f"_lane{suffix}")).is_file()]
    if not found:
        return ffi, None, "it was not compiled: there was no C compiler when cmaobs was installed"
    try:
        library = ffi.dlopen(str(found[0]))
    except OSError as error:
        return ffi, None, f"it cannot be loaded: {error}"
    if ffi.string(library.lane_digest()).decode() != _digest(here):
        return ffi, None, "it was compiled from other sources: install cmaobs again"
    return ffi, library, ""


def _digest(here: Traversable) -> str:
    """As setup.py makes it: sources in the order of their paths, wire.h last."""
    sources = sorted((entry for entry in here.iterdir() if entry.name.endswith((".c", ".h"))),
                     key=lambda entry: entry.name)
    whole = b"".join(entry.read_bytes() for entry in sources) + wire.header_text().encode()
    return hashlib.sha256(whole).hexdigest()
