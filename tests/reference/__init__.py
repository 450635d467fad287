# SPDX-License-Identifier: GPL-2.0
"""Slow, obvious second implementations that the tests compare with."""
