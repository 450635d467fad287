# SPDX-License-Identifier: GPL-2.0
"""Load for CMA: what a camera or a codec does to an area, repeatable and bounded.

    plan       what each thread will ask for, from a seed. Pure.
    targets    the two ways to allocate: a dma-buf heap, debugfs
    area       what the area is, and its knobs: shrinker scan, batch
    worker     one thread: asks, holds, gives back, within its share
    pressure   a process that fills memory down to a floor
    maker      all of them for a while, and a summary of exactly what they did
    cli        the command line: python -m cmaobs.load
"""
