# SPDX-License-Identifier: GPL-2.0
"""The small kernel's shrinker, batch, and policy."""

from __future__ import annotations

from cmaobs.events import Kind
from cmaobs.state import Run
from reference.ground import Ground, Steps
from reference.op import Op


class Shrinker(Ground):
    """Gives deferred pages back."""

    def count(self, tid: int) -> Steps:
        """cma_defer_free_count()."""
        op = Op(self, tid, Kind.COUNT, seen="count-unseen" not in self.ways)
        yield
        seen = self.defer_count
        if seen > 1 and len(self.extents) != seen and self.bad("count-wrong"):
            seen = len(self.extents)
        ret = seen or (0 if self.bad("count-returns-0") else -2)
        yield
        op.finish(ret)

    def scan(self, tid: int, asked: int, depth: int = 0) -> Steps:
        """cma_defer_free_scan()."""
        op = Op(self, tid, Kind.SCAN, 0, asked, depth=depth)
        yield
        below = asked < self.batch and not self.bad("scan-below-batch")
        if below or (asked == self.batch and asked and self.bad("scan-stops-late")):
            yield
            op.finish(-1)
            return
        want, given, taken = asked, 0, list[Run]()
        if self.extents and want < self.defer_count and self.bad("scan-frees-all"):
            want = self.defer_count
        if self.extents and want and self.bad("scan-frees-none"):
            want = 0
        while want and self.extents:
            end = "oldest-first" in self.ways or (len(self.extents) > 1
                                                  and self.bad("scan-oldest-first"))
            first, pages = self.extents.pop(-1 if end else 0)
            rest = len(self.extents) if "oldest-first" in self.ways else 0
            if pages > want and self.bad("scan-too-little"):
                self.extents.insert(rest, (first, pages))
                break
            if pages <= want or self.bad("scan-too-much"):
                taken.append((first, pages))
                want -= min(want, pages)
            elif pages > want + 1 and self.bad("scan-splits-middle"):
                taken.append((first + 1, want))
                self.extents[rest:rest] = [(first, 1), (first + 1 + want, pages - want - 1)]
                want = 0
            elif self.random.random() < 0.5:
                taken.append((first, want))
                self.extents.insert(rest, (first + want, pages - want))
                want = 0
            else:
                taken.append((first + pages - want, want))
                self.extents.insert(rest, (first, pages - want))
                want = 0
            if "short-sections" in self.ways:
                self.defer_count -= taken[-1][1]
                given += taken[-1][1]
                yield
                yield from self.give_back(op, [taken.pop()])
        freed = given + sum(pages for _, pages in taken)
        self.defer_count -= (freed - given
                             + (1 if freed and self.bad("scan-count-wrong") else 0))
        yield from self.between("long-sections")
        for first, pages in taken:
            yield from self.give_back(op, [(first, pages)])
            if pages > 1 and self.bad("scan-double-free"):
                yield from self.free(op, first + 1, pages - 1)
        yield
        op.finish(0 if freed and self.bad("scan-returns-0") else freed)

    def set_batch(self, tid: int, batch: int) -> Steps:
        """cma_defer_set_batch()."""
        op = Op(self, tid, Kind.BATCH, 0, batch)
        yield
        if batch > self.facts.count:
            op.finish(-22)
            return
        self.batch = batch
        yield
        if not batch and "keeps-at-zero" not in self.ways and not (
                self.extents and self.bad("batch-0-keeps")):
            taken, self.extents, self.defer_count = self.extents, [], 0
            yield from self.between("long-sections")
            yield from self.give_back(op, taken)
        yield
        op.finish(0)

    def set_policy(self, tid: int, policy: int) -> Steps:
        """cma_defer_set_policy()."""
        op = Op(self, tid, Kind.POLICY, 0, policy)
        yield
        self.policy = policy
        yield
        op.finish(0)
