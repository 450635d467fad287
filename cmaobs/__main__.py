# SPDX-License-Identifier: GPL-2.0
"""``python -m cmaobs``."""

import sys

from cmaobs.cli import main

sys.exit(main())
