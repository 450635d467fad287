# SPDX-License-Identifier: GPL-2.0
"""Kernel stacks: numbers in records, names, and how they travel in readings and recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import recordings, samples
from golden.samples import ListSource, alloc, batch, reading

from cmaobs import report
from cmaobs.errors import CorruptError
from cmaobs.events import RECORD
from cmaobs.kernel.stacks import Stacks, numbers, symbolise
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource, columns, framing, readings, values
from cmaobs.recording.writer import older_layouts
from cmaobs.state import Reading

KALLSYMS = """ffffffff81000000 T _text
ffffffff81001000 T cma_alloc
ffffffff81001000 t alias_of_it
ffffffff81001400 T cma_alloc_write
ffffffff81002000 D some_data
ffffffff81003000 t vfs_write
ffffffffc0000000 t ours\t[module]
ffffffffc0100000 t bpf_trampoline_6442\t[bpf]
""".splitlines()
STACK = {3: ("cma_alloc+0x0", "cma_alloc_write+0x12"), 9: ("cma_release+0x0",)}


def test_an_address_is_named_by_the_function_before_it() -> None:
    found = symbolise({0xffffffff81001412, 0xffffffff81002500, 0xffffffffc0000004, 16,
                       0xffffffffffffff00}, KALLSYMS)
    assert found == {0xffffffff81001412: "cma_alloc_write+0x12",
                     0xffffffff81002500: "cma_alloc_write+0x1100",
                     0xffffffffc0000004: "ours+0x4 [module]",
                     16: "?", 0xffffffffffffff00: "?"}


def test_numbers_are_read_from_whole_records() -> None:
    data = batch(*(alloc(1, 2, 3, 4, stack=number) for number in (0, 3, 9, 3))).data
    assert numbers(data) == {3, 9}
    assert numbers(b"") == set()


class Slots:
    """The stack map's slots, in place of libbpf's."""

    def __init__(self, slots: dict[int, tuple[int, ...]]) -> None:
        self.slots, self.looked_up = slots, list[int]()

    def lookup(self, fd: int, key: int, size: int) -> bytes | None:
        self.looked_up.append(key)
        ips = self.slots.get(key)
        return None if ips is None else b"".join(
            ip.to_bytes(8, "little") for ip in (*ips, *[0] * (size // 8 - len(ips))))


def test_each_stack_is_read_once_and_begins_at_the_probed_function(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kallsyms").write_text("\n".join(KALLSYMS))
    slots = Slots({2: (0xffffffffc0100010, 0xffffffff81001005, 0xffffffff81001412)})
    stacks = Stacks(0, 1, slots, str(tmp_path))  # type: ignore[arg-type]
    stacks.note(batch(alloc(1, 2, 3, 4, stack=3), alloc(1, 2, 3, 4, stack=8)).data)
    assert stacks.fresh() == {3: ("cma_alloc+0x5", "cma_alloc_write+0x12"), 8: ()}
    stacks.note(batch(alloc(1, 2, 3, 4, stack=3)).data)
    assert stacks.fresh() == {}
    assert slots.looked_up == [2, 7]


def test_a_caller_that_the_kernel_left_out_stands_behind_the_probed_function(
        tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kallsyms").write_text("\n".join(KALLSYMS))
    slots = Slots({2: (0xffffffff81001000, 0xffffffff81001412), 6: (0xffffffff81001405,),
                   9: (0xffffffff81001000, *[0xffffffff81001412] * 31)})
    stacks = Stacks(0, 0, slots, str(tmp_path))  # type: ignore[arg-type]
    called, deep = 7 << 16 | 3, 7 << 16 | 10
    stacks.note(batch(*(alloc(1, 2, 3, 4, stack=number) for number in (3, called, deep))).data)
    found = stacks.fresh()
    assert found[3] == ("cma_alloc+0x0", "cma_alloc_write+0x12")
    assert found[called] == ("cma_alloc+0x0", "cma_alloc_write+0x5", "cma_alloc_write+0x12")
    assert found[deep][:2] == found[called][:2]
    assert len(found[deep]) == 32, "as many as a recording may have"


def _reading(at: int, **values: object) -> Reading:
    one = reading(at, (samples.counts(), samples.state(at_ns=at)))
    return Reading(one.time_ns, one.wall_s, one.counts, one.states, one.losses,
                   **values)  # type: ignore[arg-type]


def test_a_recording_carries_stacks(tmp_path: Path) -> None:
    steps = [_reading(500), batch(alloc(1000, 2000, 0x40000, 4, stack=3)),
             _reading(3000, stacks=STACK, stacks_failed=7)]
    recordings.write(tmp_path / "a", steps)
    assert recordings.read(tmp_path / "a")[0] == steps


@pytest.mark.parametrize("stacks", [{"x": []}, {"1": "name"}, {"1": [1]}, {"1": ["f"] * 33},
                                    {"9" * 12: []}])
def test_stacks_that_cannot_be_are_damage(tmp_path: Path, stacks: object) -> None:
    value = readings.reading_to_json(_reading(500)) | {"stacks": stacks}
    with pytest.raises(ValueError, match="stacks: "):
        readings.reading_from_json(value, {0: samples.AREA})
    end = framing.pack_chunk(framing.READING, values.dump(value))
    whole = recordings.write(tmp_path / "a", [])
    (tmp_path / "a").write_bytes(whole[:whole.index(framing.END)] + end)
    with pytest.raises(CorruptError, match="stacks: "):
        recordings.read(tmp_path / "a")


def test_the_report_counts_operations_without_a_stack() -> None:
    observer = Observer(ListSource(_reading(500, stacks=STACK, stacks_failed=0),
                                   _reading(900, stacks={4: ("a+0x1",)}, stacks_failed=5)))
    assert len(list(observer.steps())) == 2
    assert observer.view.stacks == {**STACK, 4: ("a+0x1",)}
    text = report.draw_summary(report.summary(observer.view))
    assert "lost: nothing; 3 kernel stacks, 5 operations without" in text
    assert "kernel stacks" not in report.draw_summary(
        report.summary(Observer(ListSource()).view))


def test_a_recording_of_the_version_before_is_still_read(tmp_path: Path) -> None:
    """Its records lack the stack."""
    rows = [alloc(1000 + i, 2000 + i, 0x40000, 4) for i in range(5)]
    old = RECORD.size - 8
    new = columns.pack([batch(*rows)])
    head = len(new) - len(rows) * RECORD.size
    data = new[:head] + new[head:head + old * len(rows)]  # by column, the last eight left out
    layout = values.dump({"cmaobs": "0", "wire": older_layouts()[-1], "identity": {}, "areas": [
        readings.area_to_json(samples.AREA)]})
    (tmp_path / "a").write_bytes(b"".join((
        framing.file_header(), framing.pack_chunk(framing.IDENTITY, layout),
        framing.pack_chunk(framing.RECORDS, data),
        framing.pack_chunk(framing.END, values.dump(
            {"batches": 1, "records": 5, "readings": 0, "reason": "closed"})))))
    source = RecordingSource(str(tmp_path / "a"))
    assert list(source.steps()) == [batch(*rows)]
