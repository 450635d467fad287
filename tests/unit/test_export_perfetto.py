# SPDX-License-Identifier: GPL-2.0
"""Perfetto traces, read with Perfetto's own message definitions."""

from __future__ import annotations

import enum
import inspect
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path as File

import pytest
from golden import histories, samples
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos
from reference import long, tracing

from cmaobs.commands import running
from cmaobs.events import Kind, Operation, Path, Record, decode
from cmaobs.export import packets, sequence
from cmaobs.export.flow import Flow
from cmaobs.export.perfetto import Trace
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource
from cmaobs.source import Batch, Source
from cmaobs.state import AreaFacts, Reading

DEMO = File(__file__).parents[2] / "cmaobs" / "data" / "demo.cmarec"
MESSAGES = [found for _, found in inspect.getmembers(packets, inspect.isclass)
            if issubclass(found, enum.IntEnum) and found not in (enum.IntEnum, packets.Type)]


def export(source: Source) -> tracing.Trace:
    """What a reader sees of the source's trace."""
    out = bytearray()
    observer = Observer(source, running.checker(source))
    flow = Flow(source.areas, Trace(source.identity, source.areas, out.extend))
    for step in observer.steps():
        flow.add(step)
    flow.end(observer.view)
    return tracing.read(bytes(out))


def exported(*steps: Batch | Reading, identity: Mapping[str, str] | None = None,
             areas: tuple[AreaFacts, ...] = (samples.AREA,)) -> tracing.Trace:
    """The same of these steps."""
    return export(samples.ListSource(*steps, identity=identity, areas=areas))


@pytest.fixture(scope="module")
def demo() -> tracing.Trace:
    return export(RecordingSource(str(DEMO)))


def demo_steps() -> Iterable[Batch | Reading]:
    return RecordingSource(str(DEMO)).steps()


@pytest.mark.parametrize("ours", MESSAGES, ids=lambda ours: ours.__name__)
def test_field_numbers_are_those_of_perfetto(ours: type[enum.IntEnum]) -> None:
    within = {"Clock": protos.ClockSnapshot, "Attribute": protos.TraceAttributes}
    theirs = getattr(within.get(ours.__name__, protos), ours.__name__).DESCRIPTOR.fields_by_name
    assert {one.name.lower(): one.value for one in ours} == {
        one.name.lower(): theirs[one.name.lower()].number for one in ours}


def test_enumerators_are_those_of_perfetto() -> None:
    assert all(protos.TrackEvent.Type.Value(f"TYPE_{one.name}") == one for one in packets.Type)
    assert packets.MONOTONIC == protos.BUILTIN_CLOCK_MONOTONIC
    assert packets.REALTIME == protos.BUILTIN_CLOCK_REALTIME
    assert packets.CLEARED == protos.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    assert packets.NEEDED == protos.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
    assert packets.EXPLICIT == protos.TrackDescriptor.EXPLICIT


def test_every_record_is_a_slice_of_its_thread(demo: tracing.Trace) -> None:
    records = [one for step in demo_steps() if isinstance(step, Batch)
               for one in decode(step.data)]
    shown = sorted((track.description.thread.tid, one.start_ns, one.end_ns)
                   for track in demo.threads for one in track.slices)
    assert len(shown) == 3424
    assert shown == sorted((one.tid, one.start_ns, one.end_ns) for one in records)


def test_calls_are_inside_their_operation(demo: tracing.Trace) -> None:
    calls = [one for track in demo.threads for one in track.slices
             if one.name in ("alloc_contig_range", "free_contig_range")]
    assert len(calls) > 1000
    for one in calls:
        assert one.parent
        assert one.parent.start_ns <= one.start_ns <= one.end_ns <= one.parent.end_ns
        assert one.parent.parent is None
    names = {one.parent.name for one in calls if one.parent and one.name == "alloc_contig_range"}
    assert names == {"cma_alloc, contig"}


def test_counters_are_what_readings_and_operations_say(demo: tracing.Trace) -> None:
    readings = [one for one in demo_steps() if isinstance(one, Reading)]
    pages = [(one.states[0].end_ns, sum(count for _, count in one.states[0].allocated))
             for one in readings]
    allocated = demo.named("CMA area reserved", "allocated")
    assert allocated.counters == pages
    assert allocated.description.counter.unit_name == "pages"
    deferred = demo.named("CMA area reserved", "defer_count").counters
    read = {(one.states[0].end_ns, one.states[0].defer_count) for one in readings}
    records = [one for step in demo_steps() if isinstance(step, Batch)
               for one in decode(step.data) if one.kind < Kind.CONTIG]
    seen = ({(one.start_ns, one.defer_entry) for one in records}
            | {(one.end_ns, one.defer_exit) for one in records})
    assert set(deferred) == read | seen
    assert len(deferred) > 2000


def test_the_kernel_and_the_verdict_are_metadata(demo: tracing.Trace) -> None:
    assert (demo.system.sysname, demo.system.machine) == ("Linux", "x86_64")
    assert demo.attributes["cmaobs.kernel.release"] == demo.system.release
    assert demo.attributes["cmaobs.verdict"] == "agree"
    (verdict,) = demo.named("cmaobs").slices
    assert verdict.name == "verdict: agree"
    first = next(one for one in demo_steps() if isinstance(one, Reading))
    assert demo.wall_ns == {first.time_ns: int(first.wall_s * 1e9)}


def test_divergences_are_marked_on_their_area() -> None:
    trace = exported(*histories.unlawful())
    (marked,) = trace.named("CMA area reserved").slices
    assert marked.name == "R12 broken"
    assert marked.said["pages"] == "0x40000+16"
    assert trace.attributes["cmaobs.verdict"] == "diverge"


def test_losses_are_counters_and_metadata() -> None:
    trace = exported(*histories.lossy())
    counted = trace.named("cmaobs", "lost: ring_full").counters
    assert [value for _, value in counted][:2] == [0, 1]
    assert counted == sorted(counted)
    assert trace.attributes["cmaobs.lost.ring_full"] == "1"


def test_operations_inside_others_stay_inside_on_a_coarse_clock() -> None:
    """All at one tick: only the order tells what is inside what."""
    at = 4_000_000
    trace = exported(samples.reading(at), samples.batch(
        samples.record(Kind.SCAN, at, at, count=128, ret=64, depth=1),
        samples.contig(at, at, at, 0x40020, 4),
        samples.alloc(at, at, 0x40020, 4, Path.CONTIG, n_contig=1),
        samples.release(at, at, 0x40020, 4)), samples.reading(at + 2))
    (thread,) = trace.threads
    shown = {one.name: one.parent and one.parent.name for one in thread.slices}
    assert shown["cma_alloc, contig"] is None
    assert shown["cma_release, deferred"] is None
    assert shown["alloc_contig_range"] == "cma_alloc, contig"
    assert shown["cma_defer_free_scan"] == "alloc_contig_range"
    assert len(thread.slices) == 4


def test_the_shrinker_inside_a_contig_call_is_shown_there() -> None:
    trace = exported(samples.reading(100), samples.batch(
        samples.record(Kind.SCAN, 2000, 3000, count=128, ret=64, depth=1),
        samples.contig(1500, 4000, 1000, 0x40020, 4),
        samples.alloc(1000, 5000, 0x40020, 4, Path.CONTIG, n_contig=1)), samples.reading(6000))
    scan = next(one for one in trace.threads[0].slices if one.name == "cma_defer_free_scan")
    assert scan.parent
    assert scan.parent.name == "alloc_contig_range"
    assert scan.parent.parent
    assert scan.parent.parent.name == "cma_alloc, contig"


def test_an_operation_inside_one_that_was_lost_is_still_shown() -> None:
    trace = exported(samples.reading(100), samples.batch(
        samples.record(Kind.SCAN, 2000, 3000, depth=1)), samples.reading(6000))
    assert [one.name for one in trace.threads[0].slices] == ["cma_defer_free_scan"]


def test_what_an_operation_says() -> None:
    frames = ("cma_alloc+0x0", "cma_heap_allocate+0x5b")
    failed = samples.alloc(1000, 2000, 0, 99999, Path.FAILED, ret=-12, align=9, cpu=1, stack=3)
    steps = [samples.reading(100), samples.batch(failed), samples.reading(3000)]
    said = exported(*steps[:2], histories.with_stacks(steps[2], {3: frames})).threads[0].slices[0]
    assert said.name == "cma_alloc, failed"
    assert said.said == {
        "area": "reserved", "pages": 99999, "ret": -12, "error": "ENOMEM", "cpu": 1, "align": 9,
        "defer_entry": 0, "defer_exit": 0, "batch": 0, "stack": "\n".join(frames)}


def test_a_kernel_that_does_not_defer_has_no_such_counters() -> None:
    trace = exported(
        samples.reading(100, (samples.counts(), samples.state(extents=None))),
        samples.batch(samples.alloc(1000, 2000, 0x40000, 4, Path.CONTIG)),
        identity={**samples.IDENTITY, "patched": "no"})
    names = {one.name for one in trace.tracks.values() if one.description.HasField("counter")}
    assert names == {"allocated", "largest clear run"}
    assert "defer_entry" not in trace.threads[0].slices[0].said


def test_a_thread_that_is_renamed_and_one_of_a_process() -> None:
    def named(comm: bytes, at: int, **values: int) -> Record:
        return samples.alloc(at, at + 10, 0x40000, 1, **values)._replace(comm=comm)
    trace = exported(samples.reading(1), samples.batch(
        named(b"old", 10, tid=1000), named(b"new", 30, tid=1000), named(b"worker", 50, tid=1001)))
    assert {one.name for one in trace.threads} == {"new", "worker"}
    processes = {one.description.process.pid: one.description.process.process_name
                 for one in trace.tracks.values() if one.description.HasField("process")}
    assert processes == {1000: "new"}


def test_what_cannot_be_is_left_out() -> None:
    source = samples.ListSource(samples.reading(1), samples.batch(
        samples.alloc(50, 40, 0x40000, 1), samples.alloc(60, 70, 0x40000, 1)),
        samples.reading(1 << 63))
    out = bytearray()
    flow = Flow(source.areas, Trace(source.identity, source.areas, out.extend))
    for step in source.steps():
        flow.add(step)
    flow.end(Observer(source).view)
    assert flow.impossible == 2
    assert len(tracing.read(bytes(out)).threads[0].slices) == 1


def test_memory_does_not_grow_with_the_recording() -> None:
    def peak(rounds: int) -> int:
        written = [0]

        def write(data: bytes) -> None:
            written[0] += len(data)
        flow = Flow((samples.AREA,), Trace(samples.IDENTITY, (samples.AREA,), write))
        tracemalloc.start()
        try:
            for step in long.steps(rounds, threads=4):
                flow.add(step)
            flow.end(Observer(samples.ListSource()).view)
            assert written[0] > rounds * 100
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    peak(100)
    assert peak(3000) < 1.5 * peak(500)


def test_a_trace_begins_with_what_tells_it_is_ours(demo: tracing.Trace) -> None:
    out = bytearray()
    Trace({}, (), out.extend)
    assert out.startswith(sequence.HEAD)
    assert demo.tracks


def test_an_operation_whose_calls_were_lost_is_shown_without_them() -> None:
    whole = samples.alloc(1000, 5000, 0x40020, 4, Path.CONTIG, n_contig=2)
    trace = exported(samples.reading(1), samples.batch(
        samples.contig(1500, 2000, 1000, 0x40020, 4), whole), samples.reading(6000))
    assert [one.name for one in trace.threads[0].slices] == [
        "cma_alloc, contig", "alloc_contig_range"]
    assert not Operation(whole).complete
