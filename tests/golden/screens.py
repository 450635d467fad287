# SPDX-License-Identifier: GPL-2.0
"""Time lines for tests of the screen: a device with three areas, two seconds a frame."""

from __future__ import annotations

from dataclasses import replace

from cmaobs.state import AreaFacts
from cmaobs.top.frame import of_view
from cmaobs.top.timeline import Timeline
from cmaobs.verdict import Coverage, Outcome, Verdict
from cmaobs.view import View
from cmaobs.why import Failure
from golden import samples

CODEC = AreaFacts(2, "codec", 0xc0000, 2048, 0)
START_S = 1767225600


def view(second: int, patched: bool = True) -> View:
    """The device so many seconds after its start, under an even load."""
    hits, slow = 40 * second * patched, 10 * second
    latencies = {
        "alloc_hit": samples.latency(*[12_000] * (hits - hits // 50), *[50_000] * (hits // 50)),
        "alloc_contig": samples.latency(*[350_000] * (slow - slow // 10),
                                        *[20_000_000] * (slow // 10)),
        "release_deferred" if patched else "release_direct": samples.latency(
            *[9_000] * (hits + slow))}
    counters = {"allocs_hit": hits, "allocs_contig": slow, "alloc_pages_contig": 16 * slow,
                "contig_ok": slow}
    if patched:
        counters |= {"flushes": second, "releases_deferred": hits + slow, "scans": second // 2,
                     "scan_pages_returned": 64 * (second // 2)}
    else:
        counters |= {"releases_direct": slow}
    at_ns = second * 10 ** 9
    held = tuple((0x40000 + 1024 * number, 512) for number in range(second % 8 + 1))
    listed = ((0x40200, 96), (0x43f00, 256)) if patched else None
    failed = samples.counts(CODEC, {"alloc_failed": samples.latency(*[5_000_000] * (second // 3))},
                            allocs_enomem=second // 3)
    none = () if patched else None
    reading = samples.reading(
        at_ns,
        (samples.counts(latencies=latencies, **counters),
         samples.state(at_ns=at_ns, allocated=held, extents=listed, begun=hits)),
        (samples.counts(samples.SECOND), samples.state(samples.SECOND, at_ns, extents=none)),
        (failed, samples.state(CODEC, at_ns, ((0xc0000, 1984),), none)))
    failures = tuple(
        Failure(START_S + 3.0 * (number + 1), "codec", 128, "ENOMEM", "decoder", 4711, 0.005,
                "no_room") for number in range(second // 3))
    verdict = Verdict(Outcome.AGREE, (), (), {}, (
        Coverage("reserved", hits + 2 * slow, hits + 2 * slow, {}, second, at_ns),))
    return View({**samples.IDENTITY, "patched": "yes" if patched else "no"},
                (samples.AREA, samples.SECOND, CODEC), reading, verdict, records=hits + 3 * slow,
                readings=2 * second, failures=failures)


def timeline(seconds: int = 20, patched: bool = True) -> Timeline:
    """Frames from the start, every two seconds."""
    found = Timeline()
    for second in range(0, seconds + 1, 2):
        found.add(of_view(view(second, patched)))
    return found


def diverging() -> Timeline:
    """One that ends with the divergence of golden.samples, whose name is not kind to terminals."""
    found = timeline()
    sample = samples.view()
    assert sample.verdict is not None
    one = replace(sample.verdict.divergences[0], area="re\x1b[2Jserved")
    last = view(22)
    found.add(of_view(replace(last, verdict=replace(sample.verdict, divergences=(one,)))))
    return found
