# SPDX-License-Identifier: GPL-2.0
"""Kernel access: the only rooms that touch bcc, libbpf, /proc and /sys.

facts -> plan -> loader -> session; what reads one thing of the kernel has a file of its name.
"""
