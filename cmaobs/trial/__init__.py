# SPDX-License-Identifier: GPL-2.0
"""The same load again and again, with deferred freeing off and on, each run a recording.

    plan        what is run, in which order. Pure
    conditions  what is done to the kernel meanwhile: memory pressure, a fragmented area
    worker      a process of its own that makes the load
    cut         one observer's stream, cut into a recording a run
    host        which kernel, config and machine it is
    conduct     all of it: python -m cmaobs.trial
    counting    instructions under icount: python -m cmaobs.trial.counting

What comes of it is reported by `cmaobs report`. Needs root and a kernel that defers.
"""
