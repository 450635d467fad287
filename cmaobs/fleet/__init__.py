# SPDX-License-Identifier: GPL-2.0
"""What whatif foretells for many devices, kept as Parquet by device and day, and asked by DuckDB.

    store      rows of one recording, in a file of its own; the only code that touches duckdb
    questions  what is asked of all of them, as SQL
"""
