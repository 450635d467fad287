# SPDX-License-Identifier: GPL-2.0
"""Documents made from the code: references, manual pages, shell completion.

    python -m manual

writes them all; tests compare the files with what the code makes. Nothing here is installed; the
manual pages and completions that it makes are.
"""
