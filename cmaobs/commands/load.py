# SPDX-License-Identifier: GPL-2.0
"""Make load on a CMA area: allocate and give back, as cameras and codecs do.

By default it holds at most a quarter of the area, leaves the last free quarter to others,
stops after 10 s, and puts no pressure on memory. Everything is released when it ends, also
by SIGTERM or Ctrl-C. Needs root.
"""

from cmaobs.load.cli import EPILOG, add_arguments, run

EXAMPLES = EPILOG

__all__ = ["EXAMPLES", "add_arguments", "run"]
