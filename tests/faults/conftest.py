# SPDX-License-Identifier: GPL-2.0
"""How often each property is tried: CMAOBS_EXAMPLES, by default what make test-faults says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("CMAOBS_EXAMPLES", "2000"))

settings.register_profile("faults", max_examples=EXAMPLES, deadline=None, derandomize=True,
                          suppress_health_check=list(HealthCheck))
settings.load_profile("faults")
