# SPDX-License-Identifier: GPL-2.0
"""What `cmaobs whatif` foretells, against what the patched kernel then does: make whatif-check."""
