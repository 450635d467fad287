# SPDX-License-Identifier: GPL-2.0
"""What is cut from a history leads to the same divergence, and never to one that was not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference.mistakes import DEFECTS
from reference.stream import IDENTITY, Stream

from cmaobs.commands import running
from cmaobs.config import Settings
from cmaobs.evidence.window import Cut, Window
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch, Source
from cmaobs.state import Reading
from cmaobs.verdict import Divergence, Outcome, Verdict

LONG = int(os.environ.get("CMAOBS_LONG", "1"))


def judged(source: Source, observer: Observer | None = None) -> Verdict:
    """The verdict at the end of a source."""
    observer = observer or Observer(source, running.checker(source))
    for _ in observer.steps():
        pass
    assert observer.view.verdict is not None
    return observer.view.verdict


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_file_of_a_root_leads_to_it_again(tmp_path: Path, defect: str, threads: int) -> None:
    roots = 0
    for seed in range(200 if threads == 1 else 4 * LONG):
        if roots >= 3 * LONG:
            break
        stream = Stream(seed, threads, 40, defects=frozenset({defect}))
        keep = Settings(evidence=str(tmp_path / str(seed)), evidence_files=1000)
        verdict = judged(stream, running.observed(keep, stream, None, running.store(keep)))
        kept = [one for one in verdict.divergences if one.evidence]
        assert bool(kept) == (verdict.outcome is Outcome.DIVERGE)
        assert {Path(one.evidence) for one in kept} == set((tmp_path / str(seed)).iterdir())
        for one in kept:
            source = RecordingSource(one.evidence)
            assert source.identity["reproduces"] == "yes"
            again = judged(source)
            assert again.outcome is Outcome.DIVERGE
            found = [(d.rule, d.at_ns, d.pages, d.expected, d.observed) for d in again.divergences]
            assert (one.rule, one.at_ns, one.pages, one.expected, one.observed) in found
            roots += 1
        for number, one in enumerate(verdict.divergences):
            assert one.at_ns <= min(d.at_ns for d in verdict.divergences[number:])
        assert sum(verdict.by_rule.values()) >= len(verdict.divergences) + verdict.following
    assert roots or threads > 1  # with four, the bounds may let all pass


class Again:
    """A cut as a source."""

    def __init__(self, cut: Cut, stream: Stream) -> None:
        self._cut = cut
        self.identity = {**IDENTITY, **({"blind_ns": str(cut.blind_ns)} if cut.blind_ns else {})}
        self.areas = stream.areas

    def steps(self) -> Iterator[Batch | Reading]:
        return iter(self._cut.steps)

    def close(self) -> None:
        pass


@settings(max_examples=60 * LONG, deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from((1, 2, 4, 8)), st.sampled_from((0.0, 0.0, 0.03)),
       st.sampled_from((6000, 12000, 1 << 20)), st.floats(0.3, 1.0), st.booleans())
@example(46638, 1, 0.03, 12000, 1.0, False)  # the record is lost after the bound
def test_no_cut_of_a_lawful_history_diverges(
        seed: int, threads: int, lose: float, limit: int, share: float, at_rest: bool) -> None:
    stream = Stream(seed, threads, 60, lose=lose)
    window = Window(limit)
    for step in stream.made:
        window.add(step)
    ends = [op.end_ns for op in (state for step in stream.made for state in
                                 getattr(step, "states", ()))]
    made = Divergence("R5", "test", int(ends[-1] * share), (), "", "", (), at_rest)
    cuts = list(window.cuts(made, stream.areas[0]))
    assert cuts
    for cut in cuts:
        verdict = judged(Again(cut, stream))
        assert verdict.outcome is not Outcome.DIVERGE, (cut.begins, verdict.divergences[0])


def test_a_bound_of_memory_is_said_in_the_file(tmp_path: Path) -> None:
    """Where the window has been too small for a rest, the file says how it begins."""
    begins = set()
    for seed in range(12):
        stream = Stream(seed, 4, 60, 2, defects=frozenset({"scan-returns-0"}))
        window = Window(5000)
        for step in stream.made:
            window.add(step)
        verdict = judged(stream)
        if verdict.outcome is Outcome.DIVERGE:
            begins |= {cut.begins for cut in window.cuts(verdict.divergences[0], stream.areas[0])}
    assert "bound" in begins
