# SPDX-License-Identifier: GPL-2.0
"""Samples of the observer itself: verdict, losses, what it did. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cmaobs
from cmaobs.state import Latency, Reading
from cmaobs.verdict import Outcome, Verdict
from cmaobs.view import View

Sample = tuple[str, tuple[str, ...], float | Latency]

RULES = tuple(f"R{number}" for number in range(1, 13))
_REASONS = 16  # label values of one metric that a caller could make up
_IDENTITY_GAUGES = (("cmaobs_probes_attached", "probes"),
                    ("cmaobs_compile_duration_seconds", "compile_seconds"))


def samples(view: View) -> Iterator[Sample]:
    """Everything named cmaobs_*."""
    identity = view.identity
    yield ("cmaobs_info", (cmaobs.__version__, identity.get("attach", ""),
                           identity.get("clocksource", "")), 1)
    yield "cmaobs_up", (), 0 if view.failure else 1
    yield "cmaobs_warnings", (), len(view.warnings)
    yield "cmaobs_records_total", (), view.records
    yield "cmaobs_records_impossible_total", (), view.impossible
    yield "cmaobs_readings_total", (), view.readings
    yield "cmaobs_counts_compared_total", (), view.tallied.compared
    yield "cmaobs_counts_mismatched_total", (), view.tallied.mismatched
    for facts in view.areas:
        yield "cmaobs_snapshots_faulted_total", (facts.name,), view.faulted.get(facts.name, 0)
    for name, key in _IDENTITY_GAUGES:
        value = _number(identity.get(key, ""))
        if value is not None:
            yield name, (), value
    if view.reading is not None:
        yield "cmaobs_last_reading_timestamp_seconds", (), view.reading.wall_s
        for kind, count in view.reading.losses.counts.items():
            yield "cmaobs_losses_total", (kind,), count
        if view.reading.stacks_failed is not None:
            yield "cmaobs_stacks_failed_total", (), view.reading.stacks_failed
        for feature, (now, count) in view.reading.withheld.items():
            yield "cmaobs_feature_withheld", (feature,), int(now)
            yield "cmaobs_withheld_total", (feature,), count
    if view.verdict is not None:
        yield from _verdict(view.verdict, view.reading)


def _verdict(verdict: Verdict, reading: Reading | None) -> Iterator[Sample]:
    for outcome in Outcome:
        yield ("cmaobs_model_verdict", (outcome.name.lower(),),
               1 if verdict.outcome is outcome else 0)
    yield "cmaobs_model_unknown_reasons", (), len(verdict.reasons)
    for rule in dict.fromkeys((*RULES, *verdict.by_rule)):
        yield "cmaobs_model_divergences_total", (rule,), verdict.by_rule.get(rule, 0)
    for area in verdict.coverage:
        label = (area.area,)
        yield "cmaobs_model_operations_total", label, area.operations
        yield "cmaobs_model_decided_total", label, area.decided
        yield "cmaobs_model_rests_total", label, area.rests
        yield "cmaobs_model_torn_total", label, area.torn
        yield "cmaobs_model_uncompared_seconds_max", label, area.longest_ns / 1e9
        for reason, count in _bounded(area.undecided).items():
            yield "cmaobs_model_undecided_total", (area.area, reason), count
        if area.rests and reading is not None:
            ago_s = (reading.time_ns - area.last_rest_ns) / 1e9
            yield "cmaobs_model_last_rest_timestamp_seconds", label, reading.wall_s - ago_s


def _bounded(undecided: Mapping[str, int]) -> dict[str, int]:
    """The counts by reason; beyond the first few, all under "other"."""
    named = dict(list(undecided.items())[:_REASONS])
    rest = sum(undecided.values()) - sum(named.values())
    return named | ({"other": named.get("other", 0) + rest} if rest else {})


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
