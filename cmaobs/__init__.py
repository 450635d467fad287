# SPDX-License-Identifier: GPL-2.0
"""Observes deferred freeing in the kernel's contiguous memory allocator."""

__version__ = "0.1.0"
