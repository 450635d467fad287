# SPDX-License-Identifier: GPL-2.0
"""dma-bufs and who holds them: data, and the lines drawn from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cmaobs.buffers import Buffer
from cmaobs.view import View

Data = Mapping[str, Any]

_SHOWN = 16
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def held(view: View) -> dict[str, Any]:
    """{"dmabufs": ...} where they were looked up, or nothing; largest first."""
    if view.buffers is None:
        return {}
    found = sorted(view.buffers.found, key=lambda one: -one.size)
    return {"dmabufs": {
        "buffers": [_buffer(one, view) for one in found],
        "unreadable_processes": view.buffers.unreadable, "all_listed": view.buffers.listed}}


def _buffer(one: Buffer, view: View) -> dict[str, Any]:
    return {"ino": one.ino, "size_bytes": one.size, "exporter": one.exporter, "name": one.name,
            "area": one.area, "tie": one.tie, "run": None if one.run is None else list(one.run),
            "holders": [use._asdict() for use in one.uses], "devices": list(one.devices),
            "references": one.references, "kernel_references": one.kernel_references,
            "asked": _asked(one, view)}


def _asked(one: Buffer, view: View) -> dict[str, Any] | None:
    """Who allocated the buffer's pages, where that was seen."""
    if one.run is None or view.holders is None:
        return None
    first, pages = one.run
    for pieces in view.holders.pieces.values():
        for piece in pieces:
            if (piece.pfn <= first and first + pages <= piece.pfn + piece.pages
                    and view.holders.certain(piece)):
                return {"kind": piece.caller.kind, "comm": piece.caller.comm,
                        "pid": piece.caller.pid, "driver": piece.caller.driver}
    return None


def lines(data: Data) -> Iterator[str]:
    """The dma-bufs of a report."""
    if "dmabufs" not in data:
        return
    found = data["dmabufs"]
    buffers = found["buffers"]
    known = "" if found["all_listed"] else "; those that no process holds are not listed"
    blind = found["unreadable_processes"]
    yield ""
    yield (f"dma-bufs: {len(buffers)}, {size(sum(one['size_bytes'] for one in buffers))}{known}"
           + (f"; {blind} processes could not be read" if blind else ""))
    if buffers:
        yield f"  {'inode':>7}{'size':>11}  exporter, name, pages: held by"
    yield from map(_line, buffers[:_SHOWN])
    if len(buffers) > _SHOWN:
        rest = buffers[_SHOWN:]
        yield (f"  {'':>7}{size(sum(one['size_bytes'] for one in rest)):>11}  {len(rest)} more; "
               "--json has them all")


def _line(one: Data) -> str:
    parts = [one["exporter"] or "?"] + ([one["name"]] if one["name"] else [])
    if one["tie"] == "pages":
        parts.append(f"area {one['area']} pfn {one['run'][0]:#x}+{one['run'][1]}")
    elif one["tie"] == "exporter":
        parts.append(f"area {one['area']} by its exporter's name")
    who = [f"{use['comm']}[{use['pid']}] " + " ".join(
        f"{use[what]} {what[:-1] if use[what] == 1 else what}"
        for what in ("fds", "maps") if use[what]) for use in one["holders"]]
    if one["kernel_references"]:
        devices = f" ({', '.join(one['devices'])})" if one["devices"] else ""
        who.append(f"the kernel{devices}")
    if not who:
        who = ["no process"]
    asked = one["asked"]
    if asked and not any(use["pid"] == asked["pid"] for use in one["holders"]):
        who.append(f"asked for by {asked['comm']}[{asked['pid']}]")
    return (f"  {one['ino']:>7}{size(one['size_bytes']):>11}  {', '.join(parts)}: "
            + "; ".join(who))


def size(count: int) -> str:
    """Bytes as a person reads them: 4.0 MiB."""
    scale, unit = next(((s, u) for s, u in _UNITS if count >= s), (1, "B"))
    return f"{count / scale:.1f} {unit}" if scale > 1 else f"{count} B"
