# SPDX-License-Identifier: GPL-2.0
"""Kernel access: the only rooms that touch bcc, libbpf, /proc and /sys.

facts -> plan -> loader -> session; btf, bpf, ring and snapshot are their tools.
"""
