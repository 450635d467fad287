# SPDX-License-Identifier: GPL-2.0
"""dma-bufs: who holds them, read from trees of files; which pages they have; how it is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from golden import recordings, samples
from golden.samples import AREA

from cmaobs import report
from cmaobs.buffers import Buffer, Buffers, Use
from cmaobs.kernel import dmabuf
from cmaobs.kernel.heaps import tied
from cmaobs.recording import readings, values
from cmaobs.state import Reading

BUFINFO = """
Dma-buf Objects:
size    \tflags   \tmode    \tcount   \texp_name\tino     \tname
00065536\t00000002\t00080007\t00000004\treserved\t00000042\tframe 1
\tkernel fence:drv timeline seq 1 signalled
\tAttached Devices:
\tvdec.0
\tdisplay
Total 2 devices attached

00004096\t00000002\t00080007\t00000001\tdrm\t00000043\t<none>
\tAttached Devices:
Total 0 devices attached


Total 2 objects, 69632 bytes
"""


class Tree:
    """A root directory with processes that hold dma-bufs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir()
        (root / "proc/self").mkdir()

    def process(self, pid: int, comm: str, fds: dict[int, str] | None = None,
                maps: str = "") -> Path:
        """fds: text of fdinfo by number, "" for another file."""
        directory = self.root / "proc" / str(pid)
        (directory / "fd").mkdir(parents=True)
        (directory / "fdinfo").mkdir()
        (directory / "comm").write_text(f"{comm}\n")
        (directory / "maps").write_text(maps)
        for number, info in (fds or {}).items():
            (directory / "fd" / str(number)).symlink_to("/dmabuf:" if info else "/dev/null")
            (directory / "fdinfo" / str(number)).write_text(info or "pos:\t0\n")
        return directory

    def file(self, name: str, text: str) -> None:
        """A file with its directories."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def info(ino: int, size: int, exporter: str, name: str = "") -> str:
    """As dma_buf_show_fdinfo() prints it."""
    return (f"pos:\t0\nflags:\t02000002\nmnt_id:\t13\nino:\t{ino}\nsize:\t{size}\ncount:\t1\n"
            f"exp_name:\t{exporter}\n" + (f"name:\t{name}\n" if name else ""))


MAP = "7f00-7f10 rw-s 00000000 00:0e {ino}                 /dmabuf:{name}\n"
OTHER = "7f20-7f30 r-xp 00000000 08:01 42                 /usr/lib/x.so\n7f40-7f50 rw-p 0 00:00 0\n"


def test_descriptors_and_mappings_of_several_processes(tree: Tree) -> None:
    tree.file("sys/kernel/debug/dma_buf/bufinfo", BUFINFO)
    tree.process(10, "camera", {0: "", 5: info(42, 65536, "reserved", "frame 1"),
                                6: info(42, 65536, "reserved", "frame 1")})
    tree.process(11, "codec", {}, OTHER + MAP.format(ino=42, name="frame 1") * 2)
    tree.process(12, "sh", {0: "", 1: ""}, OTHER)
    found = dmabuf.read(tree.root)
    assert found == Buffers((
        Buffer(42, 65536, "reserved", "frame 1", (Use(10, "camera", 2, 0), Use(11, "codec", 0, 2)),
               ("vdec.0", "display"), 4),
        Buffer(43, 4096, "drm", "", (), (), 1)), 0, True)
    assert [one.kernel_references for one in found.found] == [0, 1]


def test_without_debugfs_what_processes_hold_is_seen(tree: Tree) -> None:
    tree.process(11, "codec", {}, MAP.format(ino=42, name=""))
    found = dmabuf.read(tree.root)
    assert found == Buffers((Buffer(42, 0, "", "", (Use(11, "codec", 0, 1),)),), 0, False)
    assert found.found[0].kernel_references is None


def test_sysfs_lists_buffers_as_well(tree: Tree) -> None:
    tree.file("sys/kernel/dmabuf/buffers/77/size", "8192\n")
    tree.file("sys/kernel/dmabuf/buffers/77/exporter_name", "reserved\n")
    assert dmabuf.read(tree.root) == Buffers((Buffer(77, 8192, "reserved", ""),), 0, True)


def test_a_name_cannot_pretend_to_be_another_size(tree: Tree) -> None:
    tree.process(10, "evil", {5: info(42, 65536, "reserved", "a\nsize:\t1\nino:\t1")})
    one, = dmabuf.read(tree.root).found
    assert (one.ino, one.size) == (42, 65536)


def test_what_goes_away_meanwhile_is_left_out(tree: Tree) -> None:
    gone = tree.process(10, "camera", {5: info(42, 65536, "reserved")})
    (gone / "fdinfo/5").unlink()
    reused = tree.process(11, "codec", {5: info(42, 65536, "reserved")})
    (reused / "fdinfo/5").write_text("pos:\t0\nino:\t42\n")
    (tree.root / "proc/12").mkdir()
    assert dmabuf.read(tree.root) == Buffers((), 0, False)


def test_processes_that_may_not_be_read_are_counted(
        tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as root, whom no mode keeps out."""
    tree.process(10, "camera", {5: info(42, 65536, "reserved")})
    tree.process(11, "codec", {5: info(42, 65536, "reserved")})
    scandir = dmabuf.os.scandir

    def refuse(path: Path) -> object:
        if "proc/11/" in str(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)
    monkeypatch.setattr(dmabuf.os, "scandir", refuse)
    found = dmabuf.read(tree.root)
    assert found.unreadable == 1
    assert [use.pid for use in found.found[0].uses] == [10]


@pytest.mark.parametrize(("run", "expected"), [
    ((AREA.base_pfn + 8, 16), ("pages", "reserved", (AREA.base_pfn + 8, 16))),
    (None, ("exporter", "reserved", None)),
    ((5, 16), ("exporter", "reserved", None)),
    ((AREA.base_pfn + 8, 17), ("exporter", "reserved", None))])
def test_pages_are_taken_where_they_fit(run: tuple[int, int] | None,
                                        expected: tuple[object, ...]) -> None:
    one, = tied([Buffer(42, 65536, "reserved", "")], {42: run} if run else {}, [AREA], 4096)
    assert (one.tie, one.area, one.run) == expected


@pytest.mark.parametrize(("exporter", "area", "tie"), [
    ("system", "", "none"), ("default_cma_region", "reserved", "exporter"),
    ("default_cma_region", "linux,cma", "exporter")])
def test_areas_by_exporter(exporter: str, area: str, tie: str) -> None:
    there = dataclasses.replace(AREA, name=area or "reserved")
    one, = tied([Buffer(42, 65536, exporter, "")], {}, [there], 4096)
    assert (one.area, one.tie) == (area, tie)


def test_a_recording_keeps_them(tmp_path: Path) -> None:
    read = dataclasses.replace(
        samples.reading(500, (samples.counts(), samples.state(at_ns=500))),
        buffers=samples.buffers())
    recordings.write(tmp_path / "a.cmarec", [read])
    (again,), _ = recordings.read(tmp_path / "a.cmarec")
    assert isinstance(again, Reading)
    assert again.buffers == samples.buffers()


@pytest.mark.parametrize("wrong", [
    {"tie": "guess"}, {"run": []}, {"run": [1]}, {"devices": [1]}, {"ino": -1}, {"uses": [{}]},
    {"references": "4"}])
def test_a_recording_that_somebody_made_up(wrong: dict[str, object]) -> None:
    read = dataclasses.replace(
        samples.reading(500, (samples.counts(), samples.state(at_ns=500))),
        buffers=samples.buffers())
    value = values.load(values.dump(readings.reading_to_json(read)))
    assert readings.reading_from_json(value, {0: AREA}) == read
    value["buffers"]["found"][0] |= wrong
    with pytest.raises(ValueError, match=next(iter(wrong)) if "uses" not in wrong else "pid"):
        readings.reading_from_json(value, {0: AREA})


def test_who_asked_is_told_where_it_is_not_who_holds() -> None:
    view = dataclasses.replace(samples.view(), buffers=Buffers((
        Buffer(7, 65536, "reserved", "frame", (Use(1001, "codec", 1, 0),), (), 1,
               "reserved", (0x40400, 16), "pages"),
        Buffer(8, 1 << 22, "system", "", (), ("vdec",), 2)), 2, False))
    drawn = report.draw_snapshot(report.snapshot(view))
    assert "dma-bufs: 2, 4.1 MiB; those that no process holds are not listed; " \
           "2 processes could not be read\n" in drawn
    assert "        8    4.0 MiB  system: the kernel (vdec)\n" in drawn
    assert ("        7   64.0 KiB  reserved, frame, area reserved pfn 0x40400+16: "
            "codec[1001] 1 fd; asked for by kworker/1:2[77]\n") in drawn
