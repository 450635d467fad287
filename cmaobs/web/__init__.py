# SPDX-License-Identifier: GPL-2.0
"""Who may ask the server, and over what: TLS, users and tokens from a web configuration file."""

from cmaobs.web.access import Access
from cmaobs.web.gate import Gate

__all__ = ["Access", "Gate"]
