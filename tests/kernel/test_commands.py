# SPDX-License-Identifier: GPL-2.0
"""The commands on a live kernel, as a user types them."""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
import struct
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kernel.tools import AREA, CMAOBS, PATIENCE_S, WAYS, Area, Serve, cli, key_of

pytestmark = pytest.mark.kernel
CAMERA = "camera@4c000000"  # of deploy/vm/device/areas.dts


def test_doctor(patched: bool) -> None:
    rows = {row["feature"]: row for row in json.loads(cli("doctor", "--json"))}
    assert rows["fentry"]["state"] == ("ok" if "fentry" in WAYS else "missing")
    for feature in ("CMA", "symbols", "BTF", "privileges", "kprobes",
                    "BPF ring buffer", "kernel headers", "clock", "allocations", "releases",
                    "contig calls", "failures", "busy pages", "release event", "phases",
                    "area state", "page numbers", "callers", "model verdict"):
        assert rows[feature]["state"] == "ok", rows[feature]
    for feature in ("deferred freeing", "shrinker"):
        assert rows[feature]["state"] == ("ok" if patched else "missing")


def test_how_probes_can_be_attached(pytestconfig: pytest.Config) -> None:
    """arm64 has no direct ftrace calls, and so no fentry, before Linux 6.4."""
    if platform.machine() == "x86_64" or pytestconfig.getoption("--source") != "6.1":
        assert WAYS == ("fentry", "kprobe")
        return
    assert WAYS == ("kprobe",)
    done = subprocess.run([*CMAOBS, "check", "--attach", "fentry", "--duration", "1s"],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        "error: fentry: the kernel has no direct ftrace calls", "  remedy: use --attach kprobe"]


def test_doctor_without_privileges_has_a_remedy() -> None:
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", *CMAOBS, "check"],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    first, second = done.stderr.strip().splitlines()
    assert first.startswith("error: ")
    assert "root" in second


def test_snapshot_is_what_debugfs_says(area: Area, patched: bool) -> None:
    assert area.alloc(40)
    assert area.alloc(24)
    area.free(24)
    found = {a["name"]: a for a in json.loads(cli("snapshot", "--json"))["areas"]}[AREA]
    assert found["base_pfn"] == area.debugfs("base_pfn")
    assert found["pages"] == area.debugfs("count")
    assert found["allocated_pages"] == area.debugfs("used") == 40
    assert found["largest_clear_run_pages"] == area.debugfs("maxchunk")
    if patched:
        assert found["deferred_pages"] == area.sysfs("defer_count") == 24
        assert found["extents"] == [[area.debugfs("base_pfn") + 40, 24]]
        assert found["batch"] == area.sysfs("batch")
    else:
        assert found.get("deferred_pages") is None


def test_several_areas_and_orders() -> None:
    areas = {a["name"]: a for a in json.loads(cli("snapshot", "--json"))["areas"]}
    nodes = Path("/proc/device-tree/reserved-memory")
    if nodes.is_dir():
        assert {one.parent.name for one in nodes.glob("*/reusable")} == {AREA, CAMERA}
        at, size = struct.unpack(">2Q", (nodes / CAMERA / "reg").read_bytes())
        found = areas[CAMERA]
        assert (found["base_pfn"], found["pages"], found["order_per_bit"]) == (
            at // mmap.PAGESIZE, size // mmap.PAGESIZE, 0)
    for name, order in ((AREA, 0), ("camera", 0), ("codec", 2)):
        directory = Path("/sys/kernel/debug/cma", name)
        if name != AREA and not directory.is_dir():
            assert not Path("/sys/kernel/mm/cma/camera").exists()
            continue
        assert areas[name]["order_per_bit"] == order
        assert areas[name]["pages"] == int((directory / "count").read_text())


def test_the_exporter_over_http(serve: Serve) -> None:
    with urllib.request.urlopen(serve.url + "/healthz", timeout=PATIENCE_S) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(serve.url + "/nothing", timeout=PATIENCE_S)
    page = urllib.request.urlopen(serve.url + "/", timeout=PATIENCE_S).read().decode()
    assert "/metrics" in page
    text = urllib.request.urlopen(serve.url + "/metrics", timeout=PATIENCE_S).read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text,
                             capture_output=True, timeout=PATIENCE_S)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_the_compilers_memory_is_given_back(serve: Serve) -> None:
    status = Path(f"/proc/{serve.process.pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    maps = Path(f"/proc/{serve.process.pid}/maps").read_text()
    assert "LLVM" not in maps
    assert "libbcc" not in maps
    assert resident > 0


@pytest.mark.long
@pytest.mark.patched("yes")
def test_what_was_compiled_is_kept(area: Area, tmp_path: Path) -> None:
    """The second start needs no compiler, and counts the same; headers are not in /tmp."""
    kept = tmp_path / "objects"
    seconds = []
    for _ in range(2):
        with Serve(tmp_path, environment={"CMAOBS_OBJECTS": str(kept)}) as serve:
            assert area.alloc(3)
            area.free(3)
            after = serve.settled()
            seconds.append(after[key_of("cmaobs_compile_duration_seconds")])
            assert sum(value for key, value in after.items() if key[0] == "cma_alloc_total") == 1
            assert serve.stop() == 0, serve.output()
    assert seconds[0] > 0
    assert seconds[1] == 0
    assert len(list(kept.iterdir())) == 1
    assert not list(Path("/tmp").glob("kheaders-*")), "where bcc would unpack them"


def test_a_port_in_use_is_one_line(serve: Serve) -> None:
    port = serve.url.rsplit(":", 1)[1]
    done = subprocess.run([*CMAOBS, "serve", "--listen", f"127.0.0.1:{port}"],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr


def test_probes_are_shown_as_attached(serve: Serve, patched: bool) -> None:
    samples = serve.settled()
    assert samples[key_of("cmaobs_probes_attached")] >= (14 if patched else 8)
    info, = [dict(labels) for name, labels in samples if name == "cma_kernel_info"]
    assert info["release"] == os.uname().release
    assert info["patched"] == ("yes" if patched else "no")
