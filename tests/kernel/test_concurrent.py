# SPDX-License-Identifier: GPL-2.0
"""Many threads at once: whatever the verdict says, it must not cry wolf."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kernel.tools import AREA, Area, Serve, cli, key_of, load

pytestmark = pytest.mark.kernel


def test_threads_pressure_and_scans_agree(area: Area, tmp_path: Path, patched: bool) -> None:
    extra = ["--scan", "16-256", "--scan-rate", "20", "--batch", "0,16,64",
             "--batch-rate", "1"] if patched else []
    with Serve(tmp_path) as serve:
        summary = load("--source", "debugfs", "--threads", "8", "--rate", "25",
                       "--operations", "900", "--duration", "60", "--sizes", "1,4,16,64,256",
                       "--lifetime", "0-40", "--share", "90", "--reserve", "0", "--area", AREA,
                       *extra)
        serve.settled()
        after = serve.settled()
        assert summary["allocations"]["succeeded"] > 500, summary
        assert serve.stop() == 0, serve.output()
    report = json.loads(cli("replay", str(serve.recording), "--json"))
    assert report["verdict"]["outcome"] == "agree"
    assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
    seen = after[key_of("cmaobs_model_operations_total", area=AREA)]
    decided = after[key_of("cmaobs_model_decided_total", area=AREA)]
    # both ends of an operation, and calls inside a burst that no reading has settled yet
    assert decided > 0.95 * seen > 1000


def test_buffers_of_a_dma_heap(area: Area, tmp_path: Path) -> None:
    """What a camera or a codec does."""
    assert os.path.exists("/dev/dma_heap/reserved")
    with Serve(tmp_path) as serve:
        summary = load("--source", "heap", "--operations", "211", "--threads", "4",
                       "--rate", "0", "--sizes", "16,64", "--lifetime", "0-5")
        after = serve.settled()
        assert serve.stop() == 0, serve.output()
    granted = sum(v for k, v in after.items()
                  if k[0] == "cma_alloc_total" and ("path", "failed") not in k[1])
    assert granted == summary["allocations"]["succeeded"] == 211
