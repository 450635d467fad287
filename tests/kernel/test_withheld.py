# SPDX-License-Identifier: GPL-2.0
"""--max-rate: what is withheld above it is counted, makes the verdict unknown, and comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernel.test_losses import agrees_again, granted
from kernel.tools import AREA, Area, Serve, key_of, load, vmstat, wait_for

pytestmark = pytest.mark.kernel
LIMIT = 40  # operations a second: the load makes far more
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def by_feature(samples: Samples, name: str) -> dict[str, float]:
    """A metric that has a feature for its only label."""
    return {dict(labels)["feature"]: value for (found, labels), value in samples.items()
            if found == name}


@pytest.mark.parametrize("features", [("records",), pytest.param(
    ("phases", "stacks", "records"), marks=pytest.mark.long)])
def test_above_the_rate_all_is_withheld_but_counts(features: tuple[str, ...], area: Area,
                                                   tmp_path: Path) -> None:
    """And below it, the verdict is agree again."""
    none, every = dict.fromkeys(features, 0), dict.fromkeys(features, 1)
    flags = [f"--{name}" for name in features if name != "records"]
    with Serve(tmp_path, "--max-rate", str(LIMIT), *flags) as serve:
        assert by_feature(serve.settled(), "cmaobs_feature_withheld") == none
        allocated = vmstat()["cma_alloc_success"]
        command = [sys.executable, "-m", "cmaobs", "load", "--source", "debugfs", "--threads", "1",
                   "--rate", "0", "--sizes", "1-8", "--lifetime", "0", "--area", AREA,
                   "--duration", "36000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as task:
            try:
                meanwhile = wait_for(lambda: (
                    by_feature(s := serve.settled(), "cmaobs_feature_withheld") == every
                    and all(by_feature(s, "cmaobs_withheld_total").values()) and s))
            finally:
                task.terminate()
        assert meanwhile[key_of("cmaobs_model_verdict", verdict="unknown")] == 1
        after = serve.settled()
        assert after[key_of("cmaobs_losses_total", kind="withheld")] > 0
        assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        assert granted(after) == vmstat()["cma_alloc_success"] - allocated
        wait_for(lambda: by_feature(serve.scrape(), "cmaobs_feature_withheld") == none)
        quiet = by_feature(serve.settled(), "cmaobs_withheld_total")
        load("--source", "debugfs", "--operations", "10", "--threads", "1", "--rate", "2",
             "--sizes", "1-8", "--lifetime", "0", "--area", AREA)
        assert by_feature(serve.settled(), "cmaobs_withheld_total") == quiet, "all is told again"
        agrees_again(serve, area)
