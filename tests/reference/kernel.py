# SPDX-License-Identifier: GPL-2.0
"""A small kernel, page by page: threads step through CMA's phases.

Every yield is a place where another thread may run, and what happens between
two yields is one critical section. Records come out as the probes send them.
``defects`` names mistakes to make on purpose, see reference.mistakes; ``ways`` what a correct
kernel may do in another way, see reference.ways.
"""

from __future__ import annotations

from collections.abc import Generator

from cmaobs.events import Kind, Path
from cmaobs.state import Run
from reference.ground import Steps
from reference.op import Op
from reference.shrinker import Shrinker

ENOMEM, EBUSY, EINTR = 12, 16, 4

__all__ = ["Kernel", "Steps"]


class Kernel(Shrinker):
    """Allocates and releases."""

    def alloc(self, tid: int, count: int, align: int,  # noqa: C901
              got: list[Run] | None = None) -> Steps:
        """cma_alloc(); a grant is appended to got."""
        op = Op(self, tid, Kind.ALLOC, 0, count, align)
        yield
        base, order = self.facts.base_pfn, self.facts.order_per_bit
        granule = 1 << order
        size = -(-count // granule)
        step = max(1, (1 << align) >> order)
        start, ret, path, pfn = 0, -ENOMEM, Path.FAILED, 0
        first_fit = False
        while count and size <= len(self.bits):
            low = self.search(start, size, align)
            if low is None:
                break
            at = low if first_fit else self.prefer(low, size, align)
            for i in range(at, at + size):
                self.bits[i] = True
            run = base + at * granule
            yield from self.between("long-sections")
            if (yield from self.fetch(op, run, count)):
                ret, path, pfn = 0, Path.HIT, run
                break
            while self.mutex:
                yield
            self.mutex = True
            yield
            yield from self.flush(op, run, count)
            ret = yield from self.contig(op, run, count)
            self.mutex = False
            yield
            if ret == 0:
                path, pfn = Path.CONTIG, run
                break
            if not self.bad("busy-keeps-bits" if ret == -EBUSY else "error-keeps-bits"):
                for i in range(at, at + size):
                    self.bits[i] = False
            if ret != -EBUSY and not self.bad("error-goes-on"):
                break
            if ret == -EBUSY and self.bad("busy-gives-up"):
                break
            if at == low:
                start = at + step
            else:
                first_fit = True
            yield
        if path == Path.FAILED:
            self.failed += count
        else:
            self.succeeded += count
            if got is not None:
                got.append((pfn, count))
        yield
        op.finish(ret, path, pfn)

    def search(self, start: int, size: int, align: int) -> int | None:
        """The first fit."""
        base, order = self.facts.base_pfn, self.facts.order_per_bit
        skip = self.random.random() < 0.3 and "pick-not-lowest" in self.defects
        odd = "pick-misaligned" in self.defects
        for at in range(start, len(self.bits) - size + 1):
            aligned = (base + (at << order)) % (1 << max(align, order)) == base % (1 << order)
            if any(self.bits[at:at + size]):
                continue
            if not aligned and not (odd and self.bad("pick-misaligned")):
                continue
            if skip:
                skip = False
                self.bad("pick-not-lowest")
                continue
            return at
        return None

    def prefer(self, low: int, size: int, align: int) -> int:
        """cma_defer_place(): the first fit inside one extent, else low."""
        if not self.policy:
            return low
        base, order = self.facts.base_pfn, self.facts.order_per_bit
        found = []
        for at in range(low, len(self.bits) - size + 1):
            pfn = base + (at << order)
            aligned = pfn % (1 << max(align, order)) == base % (1 << order)
            held = any(first <= pfn and pfn + (size << order) <= first + pages
                       for first, pages in self.extents)
            if aligned and held and not any(self.bits[at:at + size]):
                found.append(at)
        if found and found[0] > low and self.bad("prefers-none"):
            return low
        if len(found) > 1 and self.bad("prefers-highest"):
            return found[-1]
        return found[0] if found else low

    def fetch(self, op: Op, pfn: int, count: int  # noqa: C901
              ) -> Generator[None, None, bool]:
        """cma_defer_area_fetch()."""
        at = self.find(pfn, count)
        if at is None:
            return False
        if "long-sections" not in self.ways and self.luck():
            # memory for a remainder: the shrinker may run meanwhile
            yield
            yield from self.scan(op.tid, self.random.choice((0, 1, 4, 64)), 1)
            at = self.find(pfn, count)
            if at is None:
                return False
        first, pages = self.extents.pop(at)
        head, tail = pfn - first, first + pages - pfn - count
        left = []
        if head and not self.bad("head-dropped"):
            left.append((first, head))
        if tail > 0 and not self.bad("tail-dropped"):
            left.append((pfn + count, tail))
        if left and not self.extents and self.bad("last-remainder-dropped"):
            left = []
        if not left and self.bad("empty-extent"):
            left = [(pfn, 0)]
        orphan = len(left) > 1 and self.luck()
        if orphan:
            left.pop()
        if self.random.random() < 0.5:
            left.reverse()
        self.extents[at:at] = left if self.random.random() < 0.5 else left[::-1]
        if not self.bad("hit-not-counted"):
            self.defer_count -= count + (tail if orphan else 0)
        if (head or tail > 0) and self.bad("hit-recounted"):
            self.defer_count += max(head, tail)
        yield
        if orphan:
            yield from self.free(op, pfn + count, tail)
        return True

    def find(self, pfn: int, count: int) -> int | None:
        """Place in the list of the extent that holds the run."""
        for i, (first, pages) in enumerate(self.extents):
            if first <= pfn and pfn + count <= first + pages:
                if i and self.bad("miss-though-held"):
                    return None
                return i
            if first <= pfn < first + pages and self.bad("hit-beyond-end"):
                return i
        if "hit-joins-two" in self.defects:
            for i, (first, pages) in enumerate(self.extents):
                for j, (after, more) in enumerate(self.extents):
                    if first + pages == after and first <= pfn and pfn + count <= after + more:
                        self.bad("hit-joins-two")
                        self.extents[i] = (first, pages + more)
                        del self.extents[j]
                        return i - (j < i)
        return None

    def flush(self, op: Op, pfn: int, count: int) -> Steps:
        """cma_defer_flush()."""
        if not self.extents or self.bad("flush-skipped"):
            return
        while "short-sections" in self.ways and self.extents:
            taken = [self.extents.pop(0)]
            self.defer_count -= taken[0][1]
            yield
            yield from self.give_back(op, taken)
        taken, self.extents = self.extents, []
        apart = [(first, pages) for first, pages in taken
                 if pfn >= first + pages or first >= pfn + count]
        if self.policy and not (apart and self.bad("flush-takes-all")):
            self.extents, taken = apart, [extent for extent in taken if extent not in apart]
            if taken and self.bad("flush-forgets-overlap"):
                self.extents.append(taken.pop())
        if len(taken) > 1 and self.bad("flush-forgets-one"):
            self.extents = [taken.pop()]
        if self.bad("flush-stays-listed"):
            self.extents = list(taken)
        if not self.bad("flush-keeps-count"):
            self.defer_count = sum(pages for _, pages in self.extents)
        yield from self.between("long-sections")
        for first, pages in taken:
            yield from self.give_back(op, [(first, pages)])
            if self.bad("flush-clears-picked"):
                self.clear(first, pages)

    def contig(self, op: Op, pfn: int, count: int) -> Generator[None, None, int]:
        """alloc_contig_range(): succeeds where every page is in the buddy."""
        started = self.tick()
        yield
        if self.luck():
            yield from self.scan(op.tid, self.random.choice((0, 1, 4, 64)), 1)
        pages = range(pfn - self.facts.base_pfn, pfn - self.facts.base_pfn + count)
        ret = 0 if all(self.buddy[p] and p not in self.pinned for p in pages) else -EBUSY
        if self.luck():
            ret = self.random.choice((-EBUSY, -EBUSY, -EINTR, -ENOMEM))
        if ret == 0:
            for p in pages:
                self.buddy[p] = False
        yield
        op.call(Kind.CONTIG, started, pfn, count, ret)
        return ret

    def release(self, tid: int, pfn: int, count: int) -> Steps:
        """cma_release()."""
        op = Op(self, tid, Kind.RELEASE, pfn, count)
        yield
        base = self.facts.base_pfn
        if not base <= pfn < base + self.facts.count:
            op.finish(0, Path.REJECTED, pfn)
            return
        wanted = (self.batch or self.bad("release-batch-ignored")) and count
        memory = not self.luck()
        yield
        if wanted and not memory and self.bad("release-leaks"):
            self.clear(pfn, count)
            path = Path.DEFERRED
        elif wanted and memory and (self.batch or "release-batch-ignored" in self.defects):
            kept = count - 1 if count > 1 and self.bad("release-short-extent") else count
            self.list(pfn, kept)
            if self.bad("list-twice"):
                self.extents.append((pfn, kept))
            if not self.bad("release-not-counted"):
                self.defer_count += kept
            if not self.bad("release-keeps-bits"):
                self.clear(pfn, count - (count > 1 and self.bad("release-short-bits")))
            path = Path.DEFERRED
            if self.bad("release-also-frees"):
                yield from self.free(op, pfn, count)
                path = Path.DIRECT
        else:
            yield from self.free(op, pfn, count)
            if not self.bad("direct-keeps-bits"):
                self.clear(pfn, count)
            path = Path.DIRECT
        yield
        if self.bad("release-false"):
            op.finish(0, Path.REJECTED, pfn)
        else:
            op.finish(1, path, pfn)

    def list(self, pfn: int, count: int) -> None:
        """A new extent."""
        for at, (first, pages) in enumerate(self.extents):
            if "merges" in self.ways and (first + pages == pfn or pfn + count == first):
                self.extents[at] = (min(first, pfn), pages + count)
                return
        self.extents.insert(len(self.extents) if self.bad("release-at-tail") else 0, (pfn, count))
