# SPDX-License-Identifier: GPL-2.0
"""A long run under hard load, in which the observer must not cry wolf.

    mix        what each loading task does next, from a seed. Pure.
    task       one loading process: makes operations until it is killed
    crew       all loading processes: killed, replaced, slowed down, counted
    trouble    what happens to the areas besides: scans, batch, pressure, lulls
    watch      observers as processes of their own: the one that is judged, and others
    conduct    all of it until enough operations were made; runs in the device
    serving    `cmaobs serve` instead, scraped for an hour under a steady load
    judge      what must hold of the observer's report. Pure.
    replay     the judgement of a recorded run, on this machine
"""
