# SPDX-License-Identifier: GPL-2.0
"""Parquet tables, read by DuckDB and by pandas."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path as File

import duckdb
import pandas as pd
import pytest
from golden import histories, recordings, samples
from golden.cli import run
from pyarrow import parquet as pq
from reference import long

from cmaobs.events import Kind, Path
from cmaobs.export.flow import Flow
from cmaobs.export.parquet import writing
from cmaobs.export.tables import COLUMNS, Tables
from cmaobs.observe import Observer
from cmaobs.source import Batch
from cmaobs.state import AreaFacts, Reading

DEMO = File(__file__).parents[2] / "cmaobs" / "data" / "demo.cmarec"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> File:
    path = tmp_path_factory.mktemp("export") / "demo"
    done = run("export", DEMO, "--format", "parquet", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def exported(path: File, *steps: Batch | Reading, patched: str = "yes",
             areas: tuple[AreaFacts, ...] = (samples.AREA,)) -> File:
    """The tables of these steps."""
    path.mkdir(exist_ok=True)
    source = samples.ListSource(*steps, identity={**samples.IDENTITY, "patched": patched},
                                areas=areas)
    observer = Observer(source)
    with writing(path) as files:
        flow = Flow(source.areas, Tables(source.identity, source.areas, files.add))
        for step in observer.steps():
            flow.add(step)
        flow.end(observer.view)
    return path


def rows(path: File, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    """What DuckDB reads."""
    return duckdb.sql(f"SELECT {columns} FROM '{path}/{table}.parquet'").fetchall()


def test_every_table_has_the_columns_of_the_document(demo: File) -> None:
    for table, columns in COLUMNS.items():
        schema = pq.read_schema(demo / f"{table}.parquet")
        assert schema.names == [one.name for one in columns]
        assert len(set(schema.names)) == len(columns)
        for one in columns:
            assert schema.field(one.name).metadata[b"unit"].decode() == one.unit
    assert {one.name for one in demo.iterdir()} == {f"{table}.parquet" for table in COLUMNS}


def test_operations_are_as_many_as_the_kernel_counted(demo: File) -> None:
    """Rows made of records, against counters made in the kernel, in DuckDB."""
    (counted,) = duckdb.sql(f"""
        SELECT allocs_hit, allocs_contig, releases_deferred, scans, contig_ok, alloc_pages_hit,
               scan_pages_returned
        FROM '{demo}/areas.parquet' ORDER BY reading DESC LIMIT 1""").fetchall()
    (seen,) = duckdb.sql(f"""
        SELECT count(*) FILTER (kind = 'alloc' AND path = 'hit'),
               count(*) FILTER (kind = 'alloc' AND path = 'contig'),
               count(*) FILTER (kind = 'release' AND path = 'deferred'),
               count(*) FILTER (kind = 'scan'),
               (SELECT count(*) FROM '{demo}/calls.parquet' WHERE kind = 'contig' AND ret = 0
                AND operation IS NOT NULL),
               sum(pages) FILTER (kind = 'alloc' AND path = 'hit'),
               sum(ret) FILTER (kind = 'scan' AND ret > 0)
        FROM '{demo}/operations.parquet'""").fetchall()
    assert counted == seen
    assert min(counted) > 0


def test_calls_lie_in_their_operations(demo: File) -> None:
    (found,) = duckdb.sql(f"""
        SELECT count(*), bool_and(calls.start_ns >= o.start_ns AND calls.end_ns <= o.end_ns
                                  AND calls.tid = o.tid)
        FROM '{demo}/calls.parquet' calls JOIN '{demo}/operations.parquet' o USING (operation)
        """).fetchall()
    assert found == (pq.read_metadata(demo / "calls.parquet").num_rows, True)


def test_pandas_reads_the_same(demo: File) -> None:
    frame = pd.read_parquet(demo / "operations.parquet")
    by_path = frame[frame.kind == "alloc"].groupby("path", observed=True).size().to_dict()
    assert by_path == dict(duckdb.sql(f"""
        SELECT path, count(*) FROM '{demo}/operations.parquet' WHERE kind = 'alloc' GROUP BY path
        """).fetchall())
    assert by_path["hit"] > 100
    assert ((frame.end_ns - frame.start_ns) == frame.duration_ns).all()
    assert frame.error.isna().all()


def test_the_run_says_kernel_and_verdict(demo: File) -> None:
    said = dict(rows(demo, "run"))
    assert said["verdict"] == "agree"
    assert said["records"] == "3424"
    assert said["kernel.patched"] == "yes"


def test_an_operation_row_for_row(tmp_path: File) -> None:
    path = exported(tmp_path / "t", *recordings.steps())
    assert rows(path, "operations", "operation, kind, path, pages, pfn, ret, error, "
                "contig_calls, complete, comm") == [
        (0, "alloc", "contig", 16, 0x40000, 0, None, 1, True, "loadmaker"),
        (1, "release", "deferred", 16, 0x40000, 1, None, 0, True, "loadmaker"),
        (2, "alloc", "hit", 16, 0x40000, 0, None, 0, True, "loadmaker"),
        (3, "alloc", "failed", 99999, None, -12, "ENOMEM", 0, True, "loadmaker")]
    assert rows(path, "calls", "operation, kind, start_ns, end_ns, duration_ns") == [
        (0, "contig", 1500, 2900, 1400)]
    assert rows(path, "readings", "reading, time_ns") == [(0, 500), (1, 4700), (2, 8000)]
    assert (2, "ring_full", 3) in rows(path, "losses")
    assert rows(path, "areas", "reading, allocated_pages, free_pages, defer_count, "
                "deferred_extents, at_rest, allocs_hit") == [
        (0, 0, 16384, 0, 0, True, 0), (1, 0, 16368, 16, 1, True, 0),
        (2, 16, 16368, 0, 0, True, 1)]


def test_stacks_and_divergences_have_their_tables(tmp_path: File) -> None:
    frames = ("cma_alloc+0x0", "cma_heap_allocate+0x5b")
    first, *rest = [one for one in histories.lawful() if isinstance(one, Reading)]
    path = exported(tmp_path / "t", first, histories.with_stack(samples.batch(
        samples.alloc(first.time_ns + 10, first.time_ns + 20, 0x40000, 1)), 7),
        histories.with_stacks(rest[0], {7: frames}))
    assert rows(path, "stacks") == [(7, 0, frames[0]), (7, 1, frames[1])]
    assert rows(path, "operations", "stack") == [(7,)]
    recordings.write(tmp_path / "unlawful.cmarec", histories.unlawful())
    assert run("export", tmp_path / "unlawful.cmarec", "--format", "parquet", "-o",
               tmp_path / "u").returncode == 0
    (divergence,) = rows(tmp_path / "u", "divergences", "rule, area, pages")
    assert divergence == ("R12", "reserved", "0x40000+16")


def test_what_a_kernel_has_not_is_null_and_not_zero(tmp_path: File) -> None:
    path = exported(tmp_path / "t", samples.reading(1, (
        samples.counts(), samples.state(extents=None))),
        samples.batch(samples.alloc(10, 20, 0x40000, 4, Path.CONTIG)), patched="no")
    assert rows(path, "areas", "defer_count, deferred_extents, batch, free_pages") == [
        (None, None, None, 16384)]
    assert rows(path, "operations", "defer_entry, defer_exit, batch, stack, thread") == [
        (None,) * 5]


def test_areas_that_cannot_be_read_and_claims_without_sense(tmp_path: File) -> None:
    huge = AreaFacts(1, "\ud800half", 0, (1 << 64) - 1, 0)
    path = exported(tmp_path / "t", samples.reading(
        1, (samples.counts(), samples.state(fault="list changed while it was walked")),
        (samples.counts(huge), samples.state(huge))), areas=(samples.AREA, huge))
    assert rows(path, "areas", "area, fault, start_ns, allocated_pages, free_pages") == [
        ("reserved", "list changed while it was walked", None, None, None),
        ("?half", None, 0, 0, None)]


def test_a_call_outside_of_any_operation(tmp_path: File) -> None:
    path = exported(tmp_path / "t", samples.reading(1), samples.batch(
        samples.record(Kind.FREE, 10, 20, pfn=0x40000, count=64)))
    assert rows(path, "calls", "operation, kind, pages") == [(None, "free", 64)]
    assert rows(path, "operations") == []


def test_memory_does_not_grow_with_the_recording() -> None:
    def peak(rounds: int) -> int:
        seen: Counter[str] = Counter()
        flow = Flow((samples.AREA,), Tables(samples.IDENTITY, (samples.AREA,),
                                            lambda table, _row: seen.update((table,))))
        tracemalloc.start()
        try:
            for step in long.steps(rounds, threads=4):
                flow.add(step)
            flow.end(Observer(samples.ListSource()).view)
            assert seen["operations"] == 2 * rounds
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    peak(100)
    assert peak(3000) < 1.5 * peak(500)
