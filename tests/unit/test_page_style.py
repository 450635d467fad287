# SPDX-License-Identifier: GPL-2.0
"""Colours of the page: both ways to dark are the same, and text can be read on its ground."""

from __future__ import annotations

import re
from importlib import resources

import pytest

_CSS = resources.files("cmaobs.page").joinpath("static", "style.css").read_text()
_BLOCKS = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
           for block in re.findall(r":root[^{]*\{([^}]*color-scheme[^}]*)\}", _CSS)]
LIGHT, DARK, CHOSEN = _BLOCKS
TEXT = ("ink", "faint", "link", "good", "bad", "warn")
DRAWN = ("allocated", "deferred", "mixed", "both")


def _light(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4
                        for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    high, low = sorted((_light(one), _light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_dark_is_the_same_by_system_and_by_choice() -> None:
    assert DARK == CHOSEN
    assert DARK.keys() == LIGHT.keys() > set(TEXT)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(theme: dict[str, str]) -> None:
    for name in TEXT:
        for ground in ("paper", "card"):
            assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)
    for badge in ("good", "bad", "warn", "faint"):
        assert contrast(theme["on"], theme[badge]) >= 4.5, badge


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_drawn_stands_out_from_free_pages(theme: dict[str, str]) -> None:
    for name in DRAWN:
        assert contrast(theme[name], theme["free"]) >= 3, name
    assert contrast(theme["heat"], theme["card"]) >= 4.5
