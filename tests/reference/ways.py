# SPDX-License-Identifier: GPL-2.0
"""What a correct kernel may do in another way, and the policy under which it is lawful."""

from __future__ import annotations

from typing import NamedTuple

from cmaobs.model import RFC, Policy


class Way(NamedTuple):
    """what: the kernel does. policy: to judge it by."""

    what: str
    policy: Policy = RFC


WAYS = {
    "merges": Way("a release joins its extent with one beside it", Policy(merge=True)),
    "oldest-first": Way("a scan takes extents from the tail", Policy(oldest_first=True)),
    "keeps-at-zero": Way("batch = 0 leaves what is deferred", Policy(flush_at_zero=False)),
    "long-sections": Way("one section from the pick to the fetch, and one to give all back"),
    "short-sections": Way("a flush and a scan take one extent in a section, and give it back"),
    "deferred-first": Way("an allocation prefers extents, a miss frees what its run overlaps",
                          Policy(prefer_deferred=True, flush_overlap=True)),
    "count-unseen": Way("the shrinker's count is inlined: no probe sees it"),
}
