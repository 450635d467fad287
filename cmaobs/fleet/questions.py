# SPDX-License-Identifier: GPL-2.0
"""What is kept of a recording, and what is asked of all of them. Data."""

from __future__ import annotations

OUTCOMES = {
    "recording": "VARCHAR", "kernel": "VARCHAR", "patched": "BOOLEAN", "seconds": "DOUBLE",
    "policy": "VARCHAR", "batch": "BIGINT", "asks": "BIGINT", "hits": "BIGINT", "contig": "BIGINT",
    "failed": "BIGINT", "would_succeed": "BIGINT", "would_fail": "BIGINT", "hit_low": "DOUBLE",
    "hit_high": "DOUBLE", "p50_s": "DOUBLE", "p50_low_s": "DOUBLE", "p50_high_s": "DOUBLE",
    "p99_s": "DOUBLE", "p99_low_s": "DOUBLE", "p99_high_s": "DOUBLE", "withheld_mean": "DOUBLE",
    "withheld_peak": "BIGINT", "flushed_pages": "BIGINT", "scanned_pages": "BIGINT",
    "against_plain": "VARCHAR",
}
CALLERS = {"recording": "VARCHAR", "comm": "VARCHAR", "asks": "BIGINT", "pages": "BIGINT",
           "failed": "BIGINT", "seconds": "DOUBLE"}
TABLES = {"outcomes": OUTCOMES, "callers": CALLERS}

_DEVICES = """
SELECT device, policy, batch, count(*) AS recordings, sum(asks)::BIGINT AS allocations,
       sum(hits) / nullif(sum(hits + contig), 0) AS hit_ratio,
       count(*) FILTER (against_plain = 'gains') AS gains,
       count(*) FILTER (against_plain = 'loses') AS loses,
       count(*) FILTER (against_plain = 'open') AS open,
       avg(withheld_mean) AS withheld_pages
FROM outcomes WHERE policy <> 'plain' GROUP BY device, policy, batch
ORDER BY policy, batch, gains / recordings DESC, loses, hit_ratio DESC NULLS LAST, device
"""
_KERNELS = """
SELECT kernel, policy, batch, count(DISTINCT device) AS devices, sum(asks)::BIGINT AS allocations,
       sum(hits) / nullif(sum(hits + contig), 0) AS hit_ratio,
       count(*) FILTER (against_plain = 'gains') / count(*) AS gains,
       count(*) FILTER (against_plain = 'loses') / count(*) AS loses
FROM outcomes WHERE policy <> 'plain' GROUP BY kernel, policy, batch
ORDER BY policy, batch, gains DESC, kernel
"""
_CALLERS = """
SELECT comm, count(DISTINCT device) AS devices, sum(asks)::BIGINT AS allocations,
       sum(pages)::BIGINT AS pages, sum(failed)::BIGINT AS failed, sum(seconds) AS seconds,
       sum(seconds) / sum(sum(seconds)) OVER () AS share
FROM callers GROUP BY comm ORDER BY seconds DESC, comm LIMIT 20
"""
_WHOLE = """
SELECT count(DISTINCT device) AS devices, count(DISTINCT (device, day)) AS days,
       count(DISTINCT (device, day, recording)) AS recordings FROM outcomes
"""
QUESTIONS = {"whole": _WHOLE, "devices": _DEVICES, "kernels": _KERNELS, "callers": _CALLERS}
