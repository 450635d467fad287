# SPDX-License-Identifier: GPL-2.0
"""A clock that goes back is noticed, and nothing that it stamped is held against the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden.samples import (
    AREA,
    ListSource,
    alloc,
    batch,
    contig,
    counts,
    reading,
    release,
    state,
)

from cmaobs.clock import Clock
from cmaobs.crosscheck import Checker, Limits
from cmaobs.events import RECORD, Path, Record
from cmaobs.observe import Observer
from cmaobs.state import Reading, Run
from cmaobs.verdict import Verdict


@pytest.fixture(params=["lane", "no lane"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The compiled one, and the other."""
    if request.param == "no lane":
        monkeypatch.setattr("cmaobs.clock.lane.missing", lambda: "switched off")
    made = Clock()
    assert (made._ends is None) == (request.param == "no lane")
    return made


def packed(*records: Record) -> bytes:
    return b"".join(RECORD.pack(*record) for record in records)


def at(end: int, cpu: int = 0, depth: int = 0) -> Record:
    return alloc(end - 10, end, 0x40000, 1)._replace(cpu=cpu, depth=depth)


@pytest.mark.parametrize(("records", "back"), [
    ((), False),
    ((at(100), at(100), at(250)), False),
    ((at(100), at(99)), True),
    ((at(200), at(100, cpu=1), at(300)), False),
    ((at(200, depth=1), at(150)), False),  # an interrupt before the outer one was sent
    ((at(200), at(150, depth=1)), True),
    ((at(10**9), at(9 * 10**8, cpu=1)), False),  # it was held up before it was sent
    ((at(10**9), at(9 * 10**8 - 1, cpu=1)), True),
    ((at(10**8 - 1), at(20, cpu=65535)), False),
    ((at(200, cpu=65535), at(100, cpu=65535)), True),
])
def test_each_cpus_records_come_in_their_order(clock: Clock, records: tuple[Record, ...],
                                               back: bool) -> None:
    assert clock.went_back(packed(*records)) is back
    assert clock.latest_ns == max((record.end_ns for record in records), default=0)


def test_over_several_batches(clock: Clock) -> None:
    assert not clock.went_back(packed(at(500)))
    assert not clock.went_back(packed(at(400, cpu=1)))
    assert clock.went_back(packed(at(450)))
    assert clock.latest_ns == 500
    assert not clock.went_back(packed(at(460)))


def seen(at_ns: int, granted: int, allocated: tuple[Run, ...] = (),
         extents: tuple[Run, ...] = ()) -> Reading:
    """granted: pages, as the kernel counts them."""
    one = state(at_ns=at_ns, allocated=allocated, extents=extents)
    return reading(at_ns + 10, (counts(), replace(one, end_ns=at_ns + 5, pages_succeeded=granted)))


def judged(end_ns: int) -> Verdict:
    """Of an allocation, and of the release of its pages on the same CPU, as it seems until then."""
    run = (0x40000, 4)
    taken = alloc(5000, 6000, *run, Path.CONTIG, n_contig=1, batch=128)
    source = ListSource(
        seen(400, 0), batch(contig(5100, 5900, 5000, *run), taken, watermark=4500),
        batch(release(end_ns - 50, end_ns, *run, defer_exit=4, batch=128), watermark=7000),
        seen(7400, 4, extents=(run,)),
        batch(alloc(9000, 9100, *run, defer_entry=4, batch=128), watermark=9500),
        seen(9600, 8, (run,)), seen(9700, 8, (run,)))
    observer = Observer(source, Checker([AREA], limits=Limits(settle_ns=0), settled_ns=0))
    list(observer.steps())
    assert observer.view.verdict is not None
    return observer.view.verdict


def test_what_the_clock_went_back_over_is_not_judged() -> None:
    """The release seems to come before the allocation of its pages."""
    verdict = judged(6500)
    assert (verdict.coverage[0].decided, verdict.coverage[0].undecided) == (3, {})
    verdict = judged(4900)
    assert not verdict.divergences
    assert verdict.coverage[0].decided == 1
    assert verdict.coverage[0].undecided == {"the clock went back": 2}
