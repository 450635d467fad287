# SPDX-License-Identifier: GPL-2.0
"""What whatif foretells for many devices, kept as Parquet by device and day, and asked by DuckDB.

    foretold   rows of one recording
    store      the files, and what is asked of them; the only code that touches duckdb
    questions  what is kept, and what is asked, as SQL
    cluster    work on the workers of a Dask scheduler; the only code that touches distributed
"""
