# SPDX-License-Identifier: GPL-2.0
"""BPF C. A package only so that its files travel with the wheel."""
