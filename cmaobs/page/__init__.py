# SPDX-License-Identifier: GPL-2.0
"""The page at / of `serve`: its files, and the data that its script asks for again and again.

docs/page.md says what the page shows and what view.json holds. Nothing here changes anything.
"""

from cmaobs.page.pages import HEADERS, Page

__all__ = ["HEADERS", "Page"]
