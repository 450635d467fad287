# SPDX-License-Identifier: GPL-2.0
"""Recordings in the formats of other tools.

docs/export.md describes what they hold. Imports pure code only, but for ``parquet``, which writes
files through pyarrow.
"""
