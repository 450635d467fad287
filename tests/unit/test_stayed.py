# SPDX-License-Identifier: GPL-2.0
"""The pages that stay busy, read from a tree and a reader of memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from golden import samples

from cmaobs.events import RECORD
from cmaobs.kernel import held, page_flags, stayed
from cmaobs.kernel.areas import AreaReader
from cmaobs.kernel.stayed import StayedPages

VMEMMAP, SIZE, REFCOUNT = 1 << 40, 64, 52
PFN = 5
LOCKED_ANON = 1 << 0 | 1 << 12


class Memory:
    """Each page has as many references as its pfn says."""

    def peek(self, address: int, size: int) -> bytes:
        pfn, member = divmod(address - VMEMMAP, SIZE)
        assert (member, size) == (REFCOUNT, 4)
        return struct.pack("=i", pfn)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Flags of each page, and how many page tables it is in."""
    for name, word in ((page_flags.FILE, LOCKED_ANON), (stayed.COUNTS, 3)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(struct.pack("=100Q", *[word] * 100))
    yield tmp_path
    held.release()


def pages(root: Path) -> StayedPages:
    return StayedPages(cast(AreaReader, Memory()), VMEMMAP, {"": SIZE, "_refcount": REFCOUNT},
                       str(root))


def busy(pfn: int, first: int = 1) -> bytes:
    """A contig call from first on, in which pfn stayed."""
    record = samples.contig(10, 20, 5, first, 64, ret=-16)
    return RECORD.pack(*record._replace(busy=pfn - first + 1))


def test_a_page_is_read_with_what_uses_it(root: Path) -> None:
    found = pages(root)
    found.note(busy(PFN))
    one, = found.fresh()
    assert (one.pfn, one.flags, one.mapped, one.references) == (PFN, ("locked", "anon"), 3, PFN)
    assert found.fresh() == ()


def test_files_that_are_held_are_read_when_they_cannot_be_opened(root: Path) -> None:
    """As an ordinary user: serve --user."""
    for name in (page_flags.FILE, stayed.COUNTS):
        assert held.hold(root / name) == ""
        (root / name).unlink()
    found = pages(root)
    for _ in range(2):
        found.note(busy(PFN))
    assert [(one.flags, one.mapped) for one in found.fresh()] == [(("locked", "anon"), 3)] * 2


def test_what_is_not_there_is_not_known(tmp_path: Path) -> None:
    found = pages(tmp_path)
    found.note(busy(PFN))
    one, = found.fresh()
    assert (one.flags, one.mapped, one.references) == (None, None, PFN)


def test_it_reads_so_many_at_most(root: Path) -> None:
    found = pages(root)
    for _ in range(9):
        found.note(b"".join(busy(pfn) for pfn in range(1, 41)))
    assert len(found.fresh()) == 64
