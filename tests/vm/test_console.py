# SPDX-License-Identifier: GPL-2.0
"""What the device's runner makes of a console, without a guest. The texts are real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "vm"))

from device.console import TAIL, Console

PANIC = "[    5.8] sysrq: Trigger a crash\r\n[    5.8] Kernel panic - not syncing: sysrq\r\n"
NO_9P = "mount: /dev/root on /newroot/ failed: No such device\nFailed to mount real root.\n"
NO_ELF = "Failed to execute /init (error -8)\nKernel panic - not syncing: Requested init failed\n"


@pytest.mark.parametrize(
    ("text", "started", "said"),
    [
        (PANIC, True, "the guest panicked: sysrq"),
        ("BUG: kernel NULL pointer dereference\n", True, "the guest oopsed: kernel NULL"),
        (NO_9P + PANIC, False, "9P_FS"),
        (NO_ELF, False, "BINFMT_ELF"),
        ("device: no virtio ports in the guest\n", False, "VIRTIO_CONSOLE"),
        ("", False, "nothing on its console"),
        ("[    0.0] Linux version\n", False, "ended while booting"),
        ("[    0.0] Linux version\n", True, "ended without a word"),
    ],
)
def test_why_a_guest_ended(text: str, started: bool, said: str) -> None:
    console = Console()
    console.feed(text.encode())
    assert said in console.death(started)


def test_the_tail_is_short_and_clean() -> None:
    console = Console()
    for n in range(10_000):
        console.feed(f"\x1b[1;31mline {n}\x1b[0m\r\n\r\n".encode())
    assert console.tail() == [f"line {n}" for n in range(10_000 - TAIL, 10_000)]
