# SPDX-License-Identifier: GPL-2.0
"""Records become operations, and what is missing is noticed."""

from __future__ import annotations

from cmaobs.events import STALE, Kind, Operation, Record
from cmaobs.history import Gap, History, Limits

BLANK = Record(100, 200, 0, 0x1000, 4, 0, 0, 0, 1, 0, 7, 7, 0, 0, 0, Kind.ALLOC, 0, 0, 0, 0, 0,
               0, b"test")


def call(start: int, op: int, kind: Kind = Kind.CONTIG, tid: int = 7) -> Record:
    return BLANK._replace(start_ns=start, end_ns=start + 10, op_ns=op, kind=kind, tid=tid)


def test_an_operation_without_calls_comes_at_once() -> None:
    assert list(History().feed([BLANK])) == [Operation(BLANK)]


def test_calls_join_their_operation_in_order_of_return() -> None:
    record = BLANK._replace(n_contig=2, n_free=1)
    calls = [call(110, 100), call(130, 100, Kind.FREE), call(150, 100)]
    other = call(120, 100, tid=8)
    found = list(History().feed([calls[0], other, calls[1], calls[2], record]))
    assert found == [Operation(record, tuple(calls))]
    assert found[0].complete


def test_a_call_that_comes_after_its_operation_still_joins() -> None:
    record = BLANK._replace(n_contig=2)
    first, second = call(110, 100), call(150, 100)
    history = History()
    assert list(history.feed([first, record])) == []
    assert list(history.feed([second])) == [Operation(record, (first, second))]


def test_nested_operations_keep_their_own_calls() -> None:
    outer = BLANK._replace(n_contig=1)
    inner = BLANK._replace(start_ns=120, end_ns=140, kind=Kind.SCAN, n_free=1, depth=1)
    freed, contig = call(125, 120, Kind.FREE), call(110, 100)
    assert list(History().feed([freed, inner, contig, outer])) == [
        Operation(inner, (freed,)), Operation(outer, (contig,))]


def test_a_call_outside_any_operation_is_one_of_its_own() -> None:
    record = call(110, 0, Kind.FREE)
    assert list(History().feed([record])) == [Operation(record)]


def test_settle_gives_up_on_calls_that_did_not_come() -> None:
    history = History()
    record = BLANK._replace(n_contig=2)
    assert list(history.feed([call(110, 100), record, call(310, 300)])) == []
    assert list(history.settle(100)) == []
    found = list(history.settle(301))
    assert found == [Operation(record, (call(110, 100),)),
                     Gap("an operation's record was not seen", 320, 0)]
    assert isinstance(found[0], Operation)
    assert not found[0].complete
    assert history.dropped == 1


def test_a_stale_entry_is_a_gap() -> None:
    found = list(History().feed([BLANK._replace(flags=STALE)]))
    assert [type(item) for item in found] == [Gap, Operation]


def test_memory_is_bounded() -> None:
    history = History(Limits(calls=8, operations=4))
    found = list(history.feed(call(i, i + 1) for i in range(100)))
    assert len(found) == 92
    assert all(isinstance(gap, Gap) for gap in found)
    found = list(history.feed(BLANK._replace(start_ns=i, n_contig=1) for i in range(1000, 1100)))
    assert len(found) == 96
    assert not any(op.complete for op in found if isinstance(op, Operation))
