# SPDX-License-Identifier: GPL-2.0
"""C declarations for cffi, parsed when the package is installed: parsing takes a third of a start.

What is kept is named by the digest of its text, so that a header that changed since is parsed
anew and never mistaken.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent


def ffi(header: str) -> Any:
    """The cffi.FFI of a header's types, enumerators and functions.

    header: its text. Raises cffi.CDefError where cffi cannot read it.
    """
    text = _plain(header)
    try:
        return importlib.import_module(f"cmaobs.{_name(text)}").ffi
    except ModuleNotFoundError:
        import cffi  # its parser is what takes long

        found = cffi.FFI()
        found.cdef(text)
        return found


def keep(headers: list[str]) -> None:
    """Parse headers and keep the results beside this file, and no others; for setup.py."""
    import cffi

    for old in _PACKAGE.glob("_parsed_*.py"):
        old.unlink()
    for header in headers:
        text = _plain(header)
        parsed = cffi.FFI()
        parsed.set_source(f"cmaobs.{_name(text)}", None)
        parsed.cdef(text)
        parsed.emit_python_code(str(_PACKAGE / f"{_name(text)}.py"))


def _plain(header: str) -> str:
    """Without the preprocessor's lines, and with the kernel's names for integers replaced."""
    text = re.sub(r"^#.*$", "", header, flags=re.MULTILINE)
    return re.sub(r"\b__([us])(8|16|32|64)\b",
                  lambda m: f"{'u' if m[1] == 'u' else ''}int{m[2]}_t", text)


def _name(text: str) -> str:
    return f"_parsed_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
