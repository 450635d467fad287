# SPDX-License-Identifier: GPL-2.0
"""The live screen: frames of data, figures of an interval, a grid of text, and the terminal.

Data flows that way, and only feeds (what makes frames) and terminal (what shows the grid) touch
the world.
"""
