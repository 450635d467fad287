# SPDX-License-Identifier: GPL-2.0
"""What is kept of a recording, and what is asked of all of them. Data.

A question is asked in two steps: PARTS of a part of the files, QUESTIONS of all those parts
together. Sums are of whole numbers and decimals, so that they are the same however the files are
parted and in whatever order they are read. A part has all the files of a device and day.
"""

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
LEFT_OUT = {"recording": "VARCHAR", "what": "VARCHAR", "times": "BIGINT"}
TABLES = {"outcomes": OUTCOMES, "callers": CALLERS, "left_out": LEFT_OUT}

PARTS = {
    "days": """
SELECT device, count(DISTINCT recording) AS recordings FROM outcomes GROUP BY device, day
""",
    "found": """
SELECT device, kernel, policy, batch, count(*) AS recordings, sum(asks)::HUGEINT AS allocations,
       sum(hits)::HUGEINT AS hits, sum(hits + contig)::HUGEINT AS granted,
       count(*) FILTER (against_plain = 'gains') AS gains,
       count(*) FILTER (against_plain = 'loses') AS loses,
       count(*) FILTER (against_plain = 'open') AS open,
       sum(withheld_mean::DECIMAL(18, 6)) AS withheld
FROM outcomes WHERE policy <> 'plain' GROUP BY device, kernel, policy, batch
""",
    "called": """
SELECT device, comm, sum(asks)::HUGEINT AS allocations, sum(pages)::HUGEINT AS pages,
       sum(failed)::HUGEINT AS failed, sum(seconds::DECIMAL(18, 9)) AS seconds
FROM callers GROUP BY device, comm
""",
    "omitted": """
SELECT device, what, count(*) AS recordings, sum(times)::HUGEINT AS times
FROM left_out GROUP BY device, what
""",
}

_WHOLE = """
SELECT count(DISTINCT device) AS devices, count(*) AS days, sum(recordings)::BIGINT AS recordings
FROM days
"""
_DEVICES = """
SELECT device, policy, batch, sum(recordings)::BIGINT AS recordings,
       sum(allocations)::BIGINT AS allocations,
       sum(hits) / nullif(sum(granted), 0) AS hit_ratio, sum(gains)::BIGINT AS gains,
       sum(loses)::BIGINT AS loses, sum(open)::BIGINT AS open,
       sum(withheld)::DOUBLE / sum(recordings) AS withheld_pages
FROM found GROUP BY device, policy, batch
ORDER BY policy, batch, sum(gains) / sum(recordings) DESC, loses, hit_ratio DESC NULLS LAST, device
"""
_KERNELS = """
SELECT kernel, policy, batch, count(DISTINCT device) AS devices,
       sum(allocations)::BIGINT AS allocations,
       sum(hits) / nullif(sum(granted), 0) AS hit_ratio,
       sum(gains) / sum(recordings) AS gains, sum(loses) / sum(recordings) AS loses
FROM found GROUP BY kernel, policy, batch
ORDER BY policy, batch, gains DESC, kernel
"""
_CALLERS = """
SELECT comm, count(DISTINCT device) AS devices, sum(allocations)::BIGINT AS allocations,
       sum(pages)::BIGINT AS pages, sum(failed)::BIGINT AS failed, sum(seconds)::DOUBLE AS seconds,
       sum(seconds)::DOUBLE / nullif((sum(sum(seconds)) OVER ())::DOUBLE, 0) AS share
FROM called GROUP BY comm ORDER BY seconds DESC, comm LIMIT 20
"""
_LEFT_OUT = """
SELECT what, count(DISTINCT device) AS devices, sum(recordings)::BIGINT AS recordings,
       sum(times)::BIGINT AS times
FROM omitted GROUP BY what ORDER BY recordings DESC, what
"""
QUESTIONS = {"whole": _WHOLE, "devices": _DEVICES, "kernels": _KERNELS, "callers": _CALLERS,
             "left_out": _LEFT_OUT}
