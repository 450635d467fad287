# SPDX-License-Identifier: GPL-2.0
"""What deferred freeing gains and what it costs, from recordings. Numbers first, drawn second.

    manifest   what was run
    measure    one recording: distributions, where the time went, what was withheld
    intervals  of repeated runs: a median, and where the true one lies
    numbers    every number of the report, as rows
    alone      the numbers of one recording
    compared   the numbers of all runs of a manifest, batch 0 against the others
    charts     rows as SVG
    book       a part of the page, and the rows for it
    parts_alone, parts_compared
               which parts there are, and their words
    page       HTML
"""
