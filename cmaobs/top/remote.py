# SPDX-License-Identifier: GPL-2.0
"""Asks an exporter over HTTP."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request

from cmaobs.errors import ExporterError, UsageError
from cmaobs.top.frame import Frame, is_ours, of_text

_TIMEOUT_S = 10.0
_MOST = 32 << 20  # bytes of an answer
_REMEDY = "give the address of a `cmaobs serve`, such as http://device:9759/metrics"


def address(text: str) -> str:
    """The URL of the metrics; raises UsageError for what is none."""
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"not an address: {text[:80]!r}", _REMEDY)
    return parts._replace(path="/metrics").geturl() if parts.path in ("", "/") else text


def fetch(url: str) -> Frame:
    """What the exporter says now; raises ExporterError where it says nothing of use."""
    try:
        request = urllib.request.Request(url, headers={"Accept": "text/plain"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            data = answer.read(_MOST + 1)
    except urllib.error.HTTPError as error:
        raise ExporterError(f"{url} answers {error.code} {error.reason}", _REMEDY) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ExporterError(f"cannot reach {url}: {getattr(reason, 'strerror', None) or reason}",
                            "see whether `cmaobs serve` runs there and listens on an address that "
                            "can be reached") from error
    try:
        if len(data) > _MOST:
            raise ValueError("too long")
        frame = of_text(data.decode())
    except ValueError as error:
        raise ExporterError(f"{url} does not answer with metrics", _REMEDY) from error
    if not is_ours(frame):
        raise ExporterError(f"{url} has no metrics of cmaobs", _REMEDY)
    return frame
