# SPDX-License-Identifier: GPL-2.0
"""python -m cmaobs.load"""

import sys

from cmaobs.load.cli import main

sys.exit(main())
