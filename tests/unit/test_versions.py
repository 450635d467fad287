# SPDX-License-Identifier: GPL-2.0
"""One plan for each kernel from 5.10 to 7.1, and what ``doctor`` says there."""

from __future__ import annotations

import dataclasses
import re

import golden
import pytest
from golden.captures import NAMES, facts, without

from cmaobs.commands import doctor
from cmaobs.errors import UnsupportedError
from cmaobs.kernel import findings, handlers, plan
from cmaobs.kernel.facts import Facts

BASE = {"cma_alloc": "cma_alloc", "cma_release": "cma_release", "free": "free_contig_range"}
FOLIO = BASE | {"contig": "alloc_contig_range_noprof", "alloc_order": "cma_alloc_folio"}
# Functions beside or in place of 6.1's; ranges that an area has room for; how to attach on arm64.
PLANS = {
    "5.10.0-32-arm64": (BASE | {"contig": "alloc_contig_range"}, 1, "kprobe"),
    "5.15.100-derived": (BASE | {"contig": "alloc_contig_range"}, 1, "kprobe"),
    "6.1.0-56-arm64": (BASE | {"contig": "alloc_contig_range"}, 1, "kprobe"),
    "6.6.9-derived": (BASE | {"contig": "alloc_contig_range"}, 1, "fentry"),
    "6.12.117+deb12-arm64": (FOLIO, 1, "fentry"),
    "6.16.12+deb13-arm64": (FOLIO, 8, "fentry"),
    "6.18.15+deb13-arm64": (FOLIO, 8, "fentry"),
    "6.19.14+deb13-arm64": (FOLIO, 8, "fentry"),
    "7.1.13+deb13-arm64": ({
        "cma_alloc": "cma_alloc", "alloc_frozen": "cma_alloc_frozen",
        "alloc_order": "cma_alloc_frozen_compound", "cma_release": "cma_release",
        "release_frozen": "cma_release_frozen", "contig": "alloc_contig_frozen_range_noprof",
        "free": "free_contig_frozen_range"}, 8, "fentry"),
}
# Built without CONFIG_KALLSYMS_ALL: data symbols are hidden.
HIDDEN = ("5.10.0-32-arm64", "6.1.0-56-arm64")


def usable(name: str) -> Facts:
    """A capture with the kernel's headers installed, and with its data symbols."""
    one = facts(name, headers="/lib/modules/x/build")
    return dataclasses.replace(one, symbols={"cma_areas": 1 << 63, "cma_area_count": 1 << 62,
                                             **one.symbols})


@pytest.mark.parametrize("name", PLANS)
def test_the_plan(name: str) -> None:
    functions, ranges, attach = PLANS[name]
    one = usable(name)
    made = plan.make(one)
    assert made.functions == functions
    assert (made.ranges.most, made.attach, made.patched) == (ranges, attach, False)
    for handler, function in functions.items():
        row = handlers.HANDLERS[handler]
        assert made.defines[row.macro] == function
        assert made.defines[row.nargs] == len(one.typed[function])
    assert not [d for d in made.defines if d.endswith("_FN")
                and made.defines[d] not in functions.values()]


def test_every_capture_has_a_plan() -> None:
    assert set(NAMES) - set(PLANS) == {
        "6.1.192", "6.1.192-patched", "6.1.192-policy", "6.1.192-arm64-policy", "6.12.117",
        "6.12.117-patched", "6.12.117-policy"}, \
        "those of test_plan.py"


@pytest.mark.parametrize("name", NAMES)
def test_what_handlers_read_is_where_each_kernels_btf_has_it(name: str) -> None:
    typed = facts(name).typed
    compared = 0
    for row in handlers.HANDLERS.values():
        for symbol in row.symbols:
            if symbol in typed:
                assert typed[symbol][:len(row.reads)] == row.reads
                compared += 1
    assert compared >= len(handlers.REQUIRED)


def test_ranges_are_found_in_the_struct() -> None:
    """6.18: nranges at 120, ranges[8] at 128 of 24 bytes each; the bitmap in a union at 16."""
    assert plan.make(usable("6.18.15+deb13-arm64")).ranges == plan.Ranges(
        base_pfn=0, count=8, bitmap=16, first=128, size=24, most=8, number=120)
    one = usable("6.12.117+deb12-arm64")
    cma = one.structs["cma"]
    made = plan.make(one)
    assert made.ranges == plan.Ranges(cma["base_pfn"], cma["count"], cma["bitmap"])
    assert (made.defines["RANGE_COUNT"], made.defines["RANGE_BITMAP"]) == (8, 16)


@pytest.mark.parametrize("gone", ["ranges", "order_per_bit"])
def test_an_unknown_layout_is_refused(gone: str) -> None:
    one = usable("7.1.13+deb13-arm64")
    odd = dataclasses.replace(one, structs={**one.structs,
                                            "cma": without(one.structs["cma"], gone)})
    with pytest.raises(UnsupportedError, match=f"BTF: struct cma has no {gone}"):
        plan.make(odd)
    odd = dataclasses.replace(one, structs=without(one.structs, "cma_memrange"))
    with pytest.raises(UnsupportedError, match="struct cma_memrange has no base_pfn"):
        plan.make(odd)


def test_arguments_in_another_order_are_told() -> None:
    one = usable("6.12.117+deb12-arm64")
    other = dataclasses.replace(one, typed={**one.typed,
                                            "cma_alloc": ("cma", "align", "count", "gfp")})
    row = next(f for f in plan.doctor(other) if f.feature == "allocations")
    assert row.state == "limited"
    assert "cma_alloc(cma, align, count, gfp)" in row.detail
    assert row.remedy


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_data_symbols_are_told_with_the_option_that_shows_them(name: str) -> None:
    with pytest.raises(UnsupportedError, match="cma_areas, cma_area_count") as raised:
        plan.make(facts(name, headers="/lib/modules/x/build"))
    assert "CONFIG_KALLSYMS_ALL=y" in raised.value.remedy


@pytest.mark.parametrize("name", NAMES)
def test_doctor_speaks_of_every_feature(name: str) -> None:
    drawn = "\n".join(doctor.lines(plan.doctor(facts(name)))) + "\n"
    golden.compare(f"doctor-{name}.txt", drawn)
    for feature in ("allocations", "releases", "contig calls", "failures", "deferred freeing",
                    "shrinker", "area state", "page numbers", "callers", "dma-bufs",
                    "model verdict"):
        assert re.search(rf"^{feature} +(ok|limited|missing|unknown) +\S", drawn, re.MULTILINE)


def test_what_is_not_ok_has_a_remedy() -> None:
    lacking = [finding for name in NAMES for finding in plan.doctor(facts(name))
               if finding.state != "ok"]
    assert len(lacking) > len(NAMES)
    assert [finding for finding in lacking if not finding.remedy] == []


def test_a_function_is_in_one_row_only() -> None:
    symbols = [symbol for row in handlers.HANDLERS.values() for symbol in row.symbols]
    assert len(symbols) == len(set(symbols))
    assert findings.chosen(facts("7.1.13+deb13-arm64"))["contig"] in symbols
