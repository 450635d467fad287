# SPDX-License-Identifier: GPL-2.0
"""What the observer loses it counts, and a loss never becomes a divergence."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cmaobs.kernel import facts, plan
from kernel.slowing import another_tracer, slow_function
from kernel.stalling import draining_stalled, wait_inside
from kernel.tools import AREA, PATIENCE_S, WAYS, Area, Serve, key_of, load, vmstat, wait_for

pytestmark = pytest.mark.kernel
OPERATIONS = 499  # two records each, and more: the ring has room for some 200
INSTANCES = 10  # of a kretprobe, on two CPUs: max(10, 2 * num_possible_cpus())
CROWD = 16


def granted(samples: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> int:
    """Allocations of the area that got pages."""
    return sum(int(value) for (name, labels), value in samples.items()
               if name == "cma_alloc_total" and ("area", AREA) in labels
               and ("path", "failed") not in labels)


def agrees_again(serve: Serve, area: Area) -> None:
    """Once it is quiet, every operation is decided as before."""
    decided = key_of("cmaobs_model_decided_total", area=AREA)

    def all_decided() -> bool:
        serve.settled()
        before = serve.settled()[decided]
        for _ in range(10):
            assert area.alloc(4)
            area.free(4)
        serve.settled()
        return serve.settled()[decided] == before + 20

    wait_for(all_decided)
    assert serve.stop() == 0, serve.output()
    assert "verdict: agree" in serve.output()


def test_a_full_ring(area: Area, tmp_path: Path) -> None:
    """Records are lost, counts are not."""
    with Serve(tmp_path, "--ring-pages", "8") as serve:
        serve.process.send_signal(signal.SIGSTOP)
        load("--source", "debugfs", "--operations", str(OPERATIONS), "--threads", "2",
             "--rate", "0", "--sizes", "1-8", "--lifetime", "0", "--area", AREA)
        serve.process.send_signal(signal.SIGCONT)
        after = serve.settled()
        assert after[key_of("cmaobs_losses_total", kind="ring_full")] > 0
        assert granted(after) == OPERATIONS
        assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        agrees_again(serve, area)


def test_missed_returns(area: Area, patched: bool, tmp_path: Path) -> None:
    """More threads are in cma_alloc() than a kretprobe has instances for.

    They start before, since one processor is left to all while draining is stalled.
    """
    if patched:
        area.batch(0)
    files = f"/sys/kernel/debug/cma/{AREA}"
    # free: where it is noticed
    once = f"echo started && read go && echo 16 > {files}/alloc && echo 16 > {files}/free"
    with Serve(tmp_path, "--attach", "kprobe") as serve:
        allocated = vmstat()["cma_alloc_success"]
        crowd = [subprocess.Popen(["sh", "-c", once], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) for _ in range(CROWD)]
        for one in crowd:
            assert one.stdout
            with one.stdout as said:
                assert said.readline() == b"started\n"
        with draining_stalled():
            for one in crowd:
                assert one.stdin
                one.stdin.write(b"\n")
                one.stdin.close()
            wait_inside(*crowd, least=INSTANCES + 1)
        assert [one.wait(PATIENCE_S) for one in crowd] == [0] * CROWD
        assert vmstat()["cma_alloc_success"] - allocated == CROWD
        after = serve.settled()
        lost = {dict(labels)["kind"]: value for (name, labels), value in after.items()
                if name == "cmaobs_losses_total"}
        assert lost["stale_entries"] > 0, lost
        assert granted(after) < CROWD
        assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        agrees_again(serve, area)


@pytest.mark.skipif("fentry" not in WAYS, reason="no tracer here can make fexit lose calls")
def test_a_call_that_loses_its_return(area: Area, patched: bool, tmp_path: Path) -> None:
    """Where another tracer of a function comes or goes, calls in it end unseen by fexit.

    An allocation whose alloc_contig_range() was seen to begin is no hit, and what it took or
    freed is not known.
    """
    if patched:
        area.batch(0)
    over = threading.Event()
    pages = area.debugfs("count") // 2

    def allocate() -> None:
        while not over.is_set():
            assert area.alloc(pages)
            area.free(pages)

    contig = plan.make(facts.probe("/"), "fentry").functions["contig"]

    def lost() -> float:
        with another_tracer(contig):
            time.sleep(0.05)
        return serve.scrape()[key_of("cmaobs_losses_total", kind="stale_entries")]

    with Serve(tmp_path, "--attach", "fentry") as serve, ThreadPoolExecutor() as pool:
        with slow_function("start_isolate_page_range"):  # which it calls
            allocating = pool.submit(allocate)
            try:
                wait_for(lost)
            finally:
                over.set()
            allocating.result(PATIENCE_S)
        after = serve.settled()
        paths = {dict(labels)["path"]: value for (name, labels), value in after.items()
                 if name == "cma_alloc_total" and ("area", AREA) in labels}
        assert paths["contig"] > 0
        assert not paths.get("defer_hit")
        assert after[key_of("cmaobs_model_verdict", verdict="diverge")] == 0
        agrees_again(serve, area)


def test_a_second_observer_takes_no_return_from_the_first(area: Area, tmp_path: Path) -> None:
    """It comes and goes by kprobes, whatever the first has; then fentry is free again."""
    over = threading.Event()

    def allocate() -> None:
        while not over.is_set():
            assert area.alloc(64)
            area.free(64)

    ways = [tmp_path / name for name in ("first", "second", "third")]
    for way in ways:
        way.mkdir()
    with Serve(ways[0]) as first, ThreadPoolExecutor() as pool:
        allocating = pool.submit(allocate)
        try:
            with Serve(ways[1]) as second:
                assert second.attached() == "kprobe"
                # by a reading between two of the operations, which may not be the first
                agree = key_of("cmaobs_model_verdict", verdict="agree")
                wait_for(lambda: second.settled()[agree] == 1)
            assert "verdict: agree" in second.output()
        finally:
            over.set()
        allocating.result(PATIENCE_S)
        losses = {dict(labels)["kind"]: value for (name, labels), value in first.settled().items()
                  if name == "cmaobs_losses_total"}
        assert not any(losses.values()), losses
        usual = first.attached()
        agrees_again(first, area)
    with Serve(ways[2]) as third:
        assert third.attached() == usual
