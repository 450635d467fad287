# SPDX-License-Identifier: GPL-2.0
"""What is done to the kernel while a load runs: memory pressure, and a fragmented area."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cmaobs.errors import HostError
from cmaobs.load.area import Area
from cmaobs.load.pressure import Pace, Pressure
from cmaobs.load.targets import Heap

FLOOR = 16 << 20  # bytes of MemAvailable that pressure leaves
PACE = Pace(let_go_s=0.0, share=0.0625, period_s=0.02)  # it is at work nearly all the time
_FULL_S = 120.0  # to fill memory
_BLOCK = 64  # pages of a piece of clutter, and of the hole beside it
_CLUTTERED = 2 / 3  # of the area; the rest stays one run, for what fits no hole


class Clutter:
    """Buffers that nobody moves, with holes between them, over the lower part of the area.

    Takes blocks of the area's dma-buf heap and gives back every second one. Needs the area empty.
    """

    def __init__(self, area: Area) -> None:
        self._heap = Heap(area, touch=False)
        self._held: list[int] = []
        try:
            wanted = int(area.pages * _CLUTTERED) // _BLOCK
            self._held = [self._heap.alloc(_BLOCK) for _ in range(wanted)]
        except OSError as error:
            self.close()
            raise HostError(f"the area could not be fragmented: {error.strerror}",
                            "run the trial where nothing else uses the area") from error
        for handle in self._held[::2]:
            self._heap.release(handle)
        del self._held[::2]

    def close(self) -> None:
        """Give everything back."""
        for handle in self._held:
            self._heap.release(handle)
        self._held = []
        self._heap.close()


@contextlib.contextmanager
def pressed(condition: str) -> Iterator[dict[str, object]]:
    """Memory pressure for as long, if the condition is that; what it did is put into the dict.

    Raises HostError where memory did not get full.
    """
    told: dict[str, object] = {}
    if condition != "pressure":
        yield told
        return
    pressure = Pressure(Path("/"), "anon", FLOOR, PACE)
    try:
        if not pressure.await_full(_FULL_S):
            raise HostError(f"memory was not full within {_FULL_S:.0f} s, or the kernel killed "
                            "what fills it", "run the trial on a machine with less memory")
        yield told
    finally:
        told |= pressure.stop()
