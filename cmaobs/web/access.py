# SPDX-License-Identifier: GPL-2.0
"""Whether an Authorization header opens: basic with bcrypt, or bearer with SHA-256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl  # takes long to load, and few have it

_KEPT = 64  # passwords that were right, each as a keyed digest
_LONGEST = 72  # bytes: bcrypt looks at no more
# What an unknown name is compared with, so that it takes as long as a known one.
_NOBODY = b"$2b$10$C6UzMDM.H6dfI/f/IKcEeO7ZLQOhBgoTu0aN7wHuLO9lp8B1gWGHm"


@dataclass(frozen=True, slots=True)
class WebConfig:
    """users: bcrypt hashes by name. tokens: SHA-256 in hex by name. tls: None is plain HTTP.

    files: all that it was made from.
    """

    tls: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether one must say who one is."""
        return bool(self.users or self.tokens)


class Access:
    """Knows who may ask. bcrypt takes some 50 ms: one is computed at a time, and what was right is
    remembered, so that a scraper pays once and guessing costs one core at most."""

    def __init__(self, users: Mapping[str, bytes], tokens: Mapping[str, str]) -> None:
        self._users, self._tokens = users, tuple(tokens.values())
        self._right: dict[bytes, None] = {}
        self._salt = os.urandom(32)
        self._one = threading.Lock()

    @property
    def schemes(self) -> tuple[str, ...]:
        """For WWW-Authenticate."""
        return (*(('Basic realm="cmaobs", charset="UTF-8"',) if self._users else ()),
                *(('Bearer realm="cmaobs"',) if self._tokens else ()))

    def opens(self, header: str | None) -> bool:
        """Whether this value of Authorization is someone's; True for all where nobody is named."""
        if not self._users and not self._tokens:
            return True
        scheme, _, rest = (header or "").strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(rest.strip())
        if scheme.lower() == "basic" and self._users:
            return self._basic(rest.strip())
        return False

    def _bearer(self, token: str) -> bool:
        digest = hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()
        # All are compared: how long it takes does not tell which is near.
        return sum(hmac.compare_digest(digest, one) for one in self._tokens) > 0

    def _basic(self, text: str) -> bool:
        try:
            name, colon, password = base64.b64decode(text, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        if not colon or len(password) > _LONGEST or b"\0" in password:
            return False
        hashed = self._users.get(name.decode(errors="replace"), _NOBODY)
        seen = hmac.digest(self._salt, hashed + b"\0" + password, "sha256")
        if seen in self._right:
            return True
        import bcrypt  # an optional extra; read() has seen to it
        with self._one:
            right = bcrypt.checkpw(password, hashed) and hashed is not _NOBODY
        if right and len(self._right) < _KEPT:
            self._right[seen] = None
        return right
