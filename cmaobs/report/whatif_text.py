# SPDX-License-Identifier: GPL-2.0
"""What whatif says, drawn as text. Knows nothing but the data of cmaobs.report.whatif."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmaobs.report.text import clean

Data = Mapping[str, Any]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_WIDTH = 100
_SERVED = ("policy", "batch", "hit ratio", "p50", "p99", "worst", "failed")
_COST = ("policy", "batch", "withheld: mean", "most", "flushed", "scanned", "fragmentation")


def seconds(value: float) -> str:
    """A time with three digits and a unit."""
    scale, unit = next(((s, u) for s, u in _UNITS if value >= s), _UNITS[-1])
    return f"{value / scale:.3g} {unit}"


def draw(data: Data) -> str:
    """The report for people."""
    lines: list[str] = []
    for one in data["demand"]:
        lines.append(f"{one['recording']}, area {one['area']}: {one['allocations']} allocations by "
                     f"{one['threads']} threads in {one['seconds']:.1f} s, "
                     f"{one['pages']} pages, {'patched' if one['patched'] else 'plain'} kernel")
    for what, count in data["left_out"].items():
        lines.append(f"  left out or mended: {count} {what}")
    lines += ["", *_tables(data), ""]
    lines += _notes()
    lines += ["", "assumed:"]
    for told in data["assumptions"]:
        lines += textwrap.wrap(told, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    lines.append("")
    for sentence in data["recommendation"]:
        lines += textwrap.wrap(sentence, _WIDTH)
    return clean(lines)


def _notes() -> Iterator[str]:
    yield "* the recommended one. p50, p99, worst: of cma_alloc where pages were granted, with the"
    yield "95 % interval for one more such recording. withheld: deferred pages, which others"
    yield "cannot use. flushed, scanned: pages given back by misses and by reclaim. fragmentation:"
    yield "the share of the clear pages that is not in the longest run. failed: how many of these"
    yield "were granted in the recording, and how many others failed there and are granted here."


def _tables(data: Data) -> Iterator[str]:
    best = data["best"]["policy"], data["best"]["batch"]
    rows = [cells(one, "*" if (one["policy"], one["batch"]) == best else "")
            for one in data["outcomes"]]
    yield from table([_SERVED, _recorded(data["recorded"]), *(row[:7] for row in rows)])
    yield ""
    yield from table([_COST, *((*row[:2], *row[7:]) for row in rows)])


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) if not i else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths, strict=True)))


def _recorded(one: Data) -> tuple[str, ...]:
    ratio = "-" if one["hit_ratio"] is None else f"{one['hit_ratio']:.1%}"
    times = [seconds(one["latency"][name]) if one["latency"] else "-"
             for name in ("p50_s", "p99_s", "worst_s")]
    return ("(as recorded)", "", ratio, *times, str(one["failed"]))


def cells(one: Data, mark: str = "") -> tuple[str, ...]:
    """The row of an outcome."""
    ratio = one["hit_ratio"]
    shown = "-" if ratio is None else f"{ratio['value']:.1%}"
    if ratio and ratio["low"] != ratio["high"]:
        shown += f" ({ratio['low']:.0%}-{ratio['high']:.0%})"
    times = [_interval(one["latency"][name]) if one["latency"] else "-"
             for name in ("p50_s", "p99_s")]
    worst = seconds(one["latency"]["worst_s"]["value"]) if one["latency"] else "-"
    held, reclaim = one["withheld_pages"], one["reclaim"]
    frag = "-" if one["fragmentation"] is None else f"{one['fragmentation']:.0%}"
    return (f"{one['policy']}{mark}", str(one["batch"]) if one["batch"] else "", shown, *times,
            worst, _failed(one), f"{held['mean']:.0f}", str(held["peak"]),
            str(reclaim["flushed_pages"]), _scanned(reclaim), frag)


def _failed(one: Data) -> str:
    """And how many are granted, or not, that had the other answer in the recording."""
    other = [f"{count} {what}" for count, what in (
        (one["would_fail"], "were granted"), (one["would_succeed"], "others failed")) if count]
    return f"{one['failed']} ({', '.join(other)})" if other else str(one["failed"])


def _scanned(reclaim: Data) -> str:
    """With the interval of one recording."""
    total, each = reclaim["scanned_pages"], reclaim["scanned_pages_each"]
    if each["low"] == each["high"]:
        return str(total)
    low, high = round(each["low"]), round(each["high"])
    return f"{total} ({low}-{high})" if each["value"] == total else f"{total} (each {low}-{high})"


def _interval(one: Data) -> str:
    if one["low"] == one["high"]:
        return seconds(one["value"])
    return f"{seconds(one['value'])} ({seconds(one['low'])}-{seconds(one['high'])})"
